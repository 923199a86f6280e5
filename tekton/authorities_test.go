package tekton_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/tekton"
)

// TestBuildsTrustWhatTheBotTrusts: the certificates are there before the first build, follow a change, and are left alone where
// an administrator keeps them.
func TestBuildsTrustWhatTheBotTrusts(t *testing.T) {
	w := newWorld(t, tekton.Options{CA: []byte("one")})
	config, err := clientcmd.BuildConfigFromFlags("", w.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.ContentType = "application/json" // the simulator speaks nothing else
	maps := kubernetes.NewForConfigOrDie(config).CoreV1().ConfigMaps("kovra-builds")
	read := func() string {
		t.Helper()
		m, err := maps.Get(t.Context(), "kovra-ca", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return m.Data["ca.crt"]
	}
	w.start(build(1))
	if got := read(); got != "one" {
		t.Errorf("after the first build: %q", got)
	}
	other := w.again(tekton.Options{CA: []byte("two")})
	other.start(build(2))
	if got := read(); got != "two" {
		t.Errorf("after a change: %q", got)
	}
	w.again(tekton.Options{}).start(build(3))
	w.again(tekton.Options{CA: []byte("three"), CAConfigMap: "theirs"}).start(build(4))
	if got := read(); got != "two" {
		t.Errorf("after builds that bring none: %q", got)
	}
	theirs := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kovra-ca", Namespace: "kovra-builds"}, Data: map[string]string{"ca.crt": "theirs"}}
	if err := maps.Delete(t.Context(), "kovra-ca", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := maps.Create(t.Context(), theirs, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	other.start(build(5))
	if got := read(); got != "theirs" {
		t.Errorf("one that somebody else keeps: %q", got)
	}
}

// TestNoRightToKeepAuthorities: the build is refused with the right that is missing, not begun without certificates.
func TestNoRightToKeepAuthorities(t *testing.T) {
	w := newWorld(t, tekton.Options{CA: []byte("one")})
	w.sim.Forbid("create", "configmaps")
	err := w.c.StartBuild(t.Context(), build(1))
	if kovra.KindOf(err) != kovra.Denied {
		t.Errorf("%v", err)
	}
	if runs := w.sim.Runs(); len(runs) != 0 {
		t.Errorf("begun all the same: %+v", runs)
	}
}
