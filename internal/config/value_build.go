package config

import (
	"fmt"
	"strconv"

	"kovra.dev/chatops/internal/kovra"
)

// setKubeconfig stores the path of a file that can be read; what is in it is looked at when the cluster is first spoken to.
func setKubeconfig(to *string, v string) error {
	if err := checkText(v); err != nil {
		return err
	}
	if _, err := readBounded(v); err != nil {
		return fmt.Errorf("%w; expected: a readable kubeconfig file", err)
	}
	*to = v
	return nil
}

func setRegistry(to *string, v string) error {
	if !kovra.IsRegistry(v) {
		return fmt.Errorf("%q is no image prefix; expected: a host and a path, for example registry.example.com/team, without a scheme or tag", v)
	}
	*to = v
	return nil
}

// setLabel stores the name of a namespace.
func setLabel(to *string, v string) error {
	if !kovra.IsKubeLabel(v) {
		return fmt.Errorf("%q is no name of a namespace; expected: a-z, 0-9 and - alone, at most 63 characters", v)
	}
	*to = v
	return nil
}

// setObject stores the name of a Secret, a ConfigMap or a service account.
func setObject(to *string, v string) error {
	if !kovra.IsKubeName(v) {
		return fmt.Errorf("%q is no name of an object in Kubernetes; expected: a-z, 0-9, - and . alone, at most 253 characters", v)
	}
	*to = v
	return nil
}

// setCount stores a number between least and most.
func setCount(to *int, v string, least, most int) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		return fmt.Errorf("%q is no number that can be used; expected: %d to %d", v, least, most)
	}
	*to = n
	return nil
}
