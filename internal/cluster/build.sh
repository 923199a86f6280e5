# Programs and packages. Needs the outside world, so it runs before the cluster's
# namespaces exist. Sourced by up.
# shellcheck shell=bash

packages=(containerd runc containernetworking-plugins iptables iproute2 docker-registry apache2-utils
	buildah busybox-static mmdebstrap git curl openssl ca-certificates libcap2-bin)

install_packages() {
	local missing=() package
	for package in "${packages[@]}"; do
		[[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
	done
	((${#missing[@]})) || return 0
	{
		apt-get update -q
		# Debian starts what it installs; these are only wanted inside of the cluster.
		RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
	} >"$cache/apt.log" 2>&1 || { tail -20 "$cache/apt.log" >&2; return 1; }
}

# build_programs builds into $bin what its sources have not been built to yet.
build_programs() {
	bin=$cache/bin-$(digest "$here"/go.{mod,sum} "$here"/*/*.go "$here"/buildkit/go.{mod,sum} \
		<(declare -f build_kubernetes build_buildkit))
	[[ ! -e $bin/complete ]] || return 0
	mkdir -p "$bin"
	build_kubernetes
	build_buildkit
	touch "$bin/complete"
}

build_kubernetes() (
	cd "$here"
	export CGO_ENABLED=0
	version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
	minor=${version#v1.}
	v=k8s.io/component-base/version
	# Without these the server calls itself v0.0.0, which Tekton finds too old.
	stamp="-X $v.gitVersion=$version -X $v.gitMajor=1 -X $v.gitMinor=${minor%%.*} -X $v.gitTreeState=clean"
	go build -buildvcs=false -ldflags="-s -w $stamp" -o "$bin/" ./kube k8s.io/kubernetes/cmd/kubectl
	tekton=github.com/tektoncd/pipeline
	go build -buildvcs=false -ldflags='-s -w' -o "$bin/" ./pause ./gitserver \
		$tekton/cmd/{controller,webhook,entrypoint,nop,sidecarlogresults,workingdirinit}
	cp -rT --no-preserve=mode "$(go list -m -f '{{.Dir}}' $tekton)/config" "$bin/tekton"
)

build_buildkit() (
	cd "$here/buildkit"
	export CGO_ENABLED=0
	go build -buildvcs=false -ldflags='-s -w' -o "$bin/" \
		github.com/moby/buildkit/cmd/{buildkitd,buildctl} github.com/rootless-containers/rootlesskit/v3/cmd/rootlesskit
)

# make_tools makes the tree of the image of tools from Debian's packages.
make_tools() {
	# shellcheck source=/dev/null
	. /etc/os-release
	tools=$cache/tools-$(digest <(declare -f make_tools)).tar
	[[ ! -f $tools ]] || return 0
	mmdebstrap --quiet --format=tar --variant=essential --aptopt='Apt::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/'{doc,man,locale,info}'/*' \
		--include=ca-certificates,git,buildah,crun,runc,uidmap,fuse-overlayfs \
		"$VERSION_CODENAME" "$tools.part" >"$cache/mmdebstrap.log" 2>&1 || { tail "$cache/mmdebstrap.log" >&2; return 1; }
	mv "$tools.part" "$tools"
}

# make_golang makes the tree of an image with Go and gcc, as the official one is, from this machine's
# Go and Debian's packages.
make_golang() {
	# shellcheck source=/dev/null
	. /etc/os-release
	local goroot parts=$cache/golang.part
	goroot=$(go env GOROOT)
	golang=$cache/golang-$(digest <(declare -f make_golang) "$goroot/VERSION").tar
	[[ ! -f $golang ]] || return 0
	mmdebstrap --quiet --format=tar --variant=essential --aptopt='Apt::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/'{doc,man,locale,info}'/*' --include=ca-certificates,gcc,libc6-dev \
		"$VERSION_CODENAME" "$parts" >"$cache/mmdebstrap.log" 2>&1 || { tail "$cache/mmdebstrap.log" >&2; return 1; }
	tar -rf "$parts" -C "$goroot" --exclude=./{api,doc,misc,test} --transform 's,^\.,./usr/local/go,S' .
	mv "$parts" "$golang"
}
