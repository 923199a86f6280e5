package kovra

import (
	"regexp"
	"strconv"
	"strings"
)

// Names as Kubernetes and registries take them.
var (
	kubeLabel      = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	registryHost   = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(:[0-9]{1,5})?$`)
	registryFolder = regexp.MustCompile(`^[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*$`)
)

// Bounds of names.
const (
	maxKubeLabel = 63
	maxKubeName  = 253
	maxRegistry  = 200 // an image has 255 characters with the name of its app
	maxPort      = 65535
)

// IsKubeLabel reports whether v can name a namespace or container.
func IsKubeLabel(v string) bool { return len(v) <= maxKubeLabel && kubeLabel.MatchString(v) }

// IsKubeName reports whether v can name a Secret, ConfigMap, service account or Deployment.
func IsKubeName(v string) bool {
	if len(v) > maxKubeName {
		return false
	}
	for part := range strings.SplitSeq(v, ".") {
		if !kubeLabel.MatchString(part) {
			return false
		}
	}
	return true
}

// IsRegistry reports whether v can begin the names of images: a host, perhaps with a port, and folders. A first word without
// a dot or port would be taken for a folder of Docker Hub, so it is none.
func IsRegistry(v string) bool {
	host, folders, has := strings.Cut(v, "/")
	if len(v) > maxRegistry || !registryHost.MatchString(host) || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return false
	}
	if _, port, found := strings.Cut(host, ":"); found {
		if n, err := strconv.Atoi(port); err != nil || n == 0 || n > maxPort {
			return false
		}
	}
	if !has {
		return true
	}
	for folder := range strings.SplitSeq(folders, "/") {
		if !registryFolder.MatchString(folder) {
			return false
		}
	}
	return true
}
