package tekton

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	tektonv1 "github.com/tektoncd/pipeline/pkg/client/clientset/versioned/typed/pipeline/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	appsv1 "k8s.io/client-go/kubernetes/typed/apps/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/flowcontrol"

	"kovra.dev/chatops/internal/kovra"
)

// Options say which cluster to speak to and how runs are made there. Every field has a default.
type Options struct {
	// Kubeconfig is the path of a kubeconfig; "": the bot runs in the cluster. Context is the one to use of it.
	Kubeconfig, Context string
	// Namespace is where PipelineRuns are made unless an app has a namespace of its own; "kovra-builds".
	Namespace string
	// Names of the Pipelines, "kovra-build" and "kovra-deploy", and of the service accounts, "kovra-builder" and "kovra-deployer".
	BuildPipeline, DeployPipeline string
	BuildAccount, DeployAccount   string
	// Names of the Secrets with the credentials for git, "kovra-git", and for the registry, "kovra-registry". They live in each
	// namespace of builds, and are mounted only. That for git may be missing where all repositories are public.
	GitSecret, RegistrySecret string
	// NoGitSecret: repositories are cloned without credentials. NoRegistrySecret: images are pushed without.
	NoGitSecret, NoRegistrySecret bool
	// CAConfigMap names a ConfigMap with certificates to trust, as files. "": what CA holds, PEM, is put into one that we keep;
	// without CA there are none.
	CAConfigMap string
	CA          []byte
	// Proxy is given to the pods of builds.
	Proxy Proxy
	// StorageSize and StorageClass are of the volume that a build works in; "5Gi" and "", the cluster's default class.
	StorageSize, StorageClass string
	// FSGroup is the group that owns the volume; 0: as the cluster has it.
	FSGroup int64
	// UserNamespaces runs the pods of builds in a user namespace each (Kubernetes 1.33, Tekton 1.9).
	UserNamespaces bool
	// BuildTimeout ends a build, one hour; RolloutTimeout a deployment that does not roll out, ten minutes.
	BuildTimeout, RolloutTimeout time.Duration

	// QPS and Burst bound the requests, 50 and 100 a second; client-go's own bound is too low for some logs at once.
	QPS   float32
	Burst int
	// Timeout is the deadline of each call but the reading of logs, 15 seconds.
	Timeout time.Duration
	// Poll is how often a run is looked at while the log waits for its next step, a second. Idle is how long a log may be silent before
	// it is opened anew, 30 seconds.
	Poll, Idle time.Duration
	// Log is where trouble of the watch goes; nil: nowhere.
	Log *slog.Logger
	// Transport wraps the transport of all requests, for metrics; may be nil.
	Transport func(http.RoundTripper) http.RoundTripper
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Proxy is how builds reach the outside: the values of HTTP_PROXY, HTTPS_PROXY and NO_PROXY. Whoever may read PipelineRuns
// reads them, so they must hold no password.
type Proxy struct{ HTTP, HTTPS, No string }

// deployMargin is what a deployment's PipelineRun may take beyond the rollout: its pod has to start.
const deployMargin = 5 * time.Minute

func (o Options) withDefaults() Options {
	o.Namespace = cmp.Or(o.Namespace, "kovra-builds")
	o.BuildPipeline = cmp.Or(o.BuildPipeline, "kovra-build")
	o.DeployPipeline = cmp.Or(o.DeployPipeline, "kovra-deploy")
	o.BuildAccount = cmp.Or(o.BuildAccount, "kovra-builder")
	o.DeployAccount = cmp.Or(o.DeployAccount, "kovra-deployer")
	o.GitSecret = cmp.Or(o.GitSecret, "kovra-git")
	o.RegistrySecret = cmp.Or(o.RegistrySecret, "kovra-registry")
	o.StorageSize = cmp.Or(o.StorageSize, "5Gi")
	o.BuildTimeout = cmp.Or(o.BuildTimeout, time.Hour)
	o.RolloutTimeout = cmp.Or(o.RolloutTimeout, 10*time.Minute)
	o.QPS = cmp.Or(o.QPS, 50)
	o.Burst = cmp.Or(o.Burst, 100)
	o.Timeout = cmp.Or(o.Timeout, 15*time.Second)
	o.Poll = cmp.Or(o.Poll, time.Second)
	o.Idle = cmp.Or(o.Idle, 30*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// check is an error of kind Invalid for options that cannot work.
func (o *Options) check() error {
	if q, err := resource.ParseQuantity(o.StorageSize); err != nil || q.Sign() <= 0 {
		return kovra.Errorf(kovra.Invalid, "The storage of builds must be a quantity, as in 5Gi; %q is not.", o.StorageSize)
	}
	if o.BuildTimeout < time.Second || o.RolloutTimeout < time.Second {
		return kovra.Errorf(kovra.Invalid, "The timeouts of builds and rollouts must be at least a second.")
	}
	return nil
}

// Client speaks to one cluster. It is safe for concurrent use.
type Client struct {
	o      Options
	tekton tektonv1.TektonV1Interface
	core   corev1.CoreV1Interface
	apps   appsv1.AppsV1Interface

	mu    sync.Mutex
	tasks map[taskKey]taskSteps // what Tasks were last seen to consist of
}

// New reads the kubeconfig and makes a client; it calls nobody. Its errors are of kind Invalid.
func New(o Options) (*Client, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	config, err := restConfig(o)
	if err != nil {
		return nil, err
	}
	c := &Client{o: o, tasks: map[taskKey]taskSteps{}}
	hc, err := rest.HTTPClientFor(config)
	if err == nil {
		c.tekton, err = tektonv1.NewForConfigAndClient(config, hc)
	}
	if err == nil {
		c.core, err = corev1.NewForConfigAndClient(config, hc)
	}
	if err == nil {
		c.apps, err = appsv1.NewForConfigAndClient(config, hc)
	}
	if err != nil {
		return nil, &kovra.Error{Kind: kovra.Invalid, Public: "The access to the cluster cannot be used.", Err: err}
	}
	return c, nil
}

func restConfig(o Options) (*rest.Config, error) {
	var config *rest.Config
	var err error
	if o.Kubeconfig == "" {
		config, err = rest.InClusterConfig()
	} else {
		config, err = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
			&clientcmd.ClientConfigLoadingRules{ExplicitPath: o.Kubeconfig},
			&clientcmd.ConfigOverrides{CurrentContext: o.Context}).ClientConfig()
	}
	if err != nil {
		public := "The kubeconfig cannot be used."
		if o.Kubeconfig == "" {
			public = "The bot does not run in a cluster, and no kubeconfig is set."
		}
		return nil, &kovra.Error{Kind: kovra.Invalid, Public: public, Err: err}
	}
	// Tekton's objects are served as JSON only.
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	config.UserAgent = "kovra"
	config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(o.QPS, o.Burst)
	config.WarningHandlerWithContext = rest.NoWarnings{}
	if o.Transport != nil {
		config.Wrap(o.Transport)
	}
	return config, nil
}

func (c *Client) namespace(own string) string { return cmp.Or(own, c.o.Namespace) }

// within sets the deadline of one call.
func (c *Client) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.o.Timeout)
}
