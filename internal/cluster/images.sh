# The images of the base registry. They are kept in the cache beside the programs, so
# this has something to do the first time only. Sourced by the cluster's first process.
# shellcheck shell=bash

push_images() {
	[[ ! -e $images/complete ]] || return 0
	push_tree pause --entrypoint '["/pause"]' <<<"$bin/pause /pause"
	local program
	for program in entrypoint nop sidecarlogresults workingdirinit; do
		push_tree "$program" --entrypoint "[\"/ko-app/$program\"]" <<<"$bin/$program /ko-app/$program"
	done
	push_busybox
	push_tools
	push_golang
	touch "$images/complete"
}

# push_tree NAME [SETTING...]: an image of the files that standard input lists, each
# with the place that it goes to.
push_tree() {
	local tree=$dir/tree from to
	while read -r from to; do install -D "$from" "$tree$to"; done
	commit "$@"
}

push_busybox() {
	local tree=$dir/tree
	mkdir -p "$tree"/{bin,etc,root} && mkdir -m 1777 "$tree/tmp"
	cp /bin/busybox "$tree/bin/"
	chroot "$tree" /bin/busybox --install -s /bin
	echo root:x:0:0:root:/root:/bin/sh >"$tree/etc/passwd"
	commit busybox --cmd /bin/sh --env PATH=/bin
}

# push_tools: git, buildah, BuildKit and kubectl in one image, with a user who may build
# without being root.
push_tools() {
	local tree=$dir/tree
	mkdir -p "$tree"
	tar -xf "$tools" -C "$tree"
	cp "$bin"/{kubectl,buildkitd,buildctl,rootlesskit} "$tree/usr/bin/"
	ln -s runc "$tree/usr/bin/buildkit-runc"
	echo user:x:1000:1000::/home/user:/bin/sh >>"$tree/etc/passwd"
	echo user:x:1000: >>"$tree/etc/group"
	echo user:100000:65536 | tee "$tree/etc/subuid" >"$tree/etc/subgid"
	# Set-user-id would make newuidmap another user than the one whose namespace it maps.
	chmod u-s "$tree"/usr/bin/new?idmap
	setcap cap_setuid+ep "$tree/usr/bin/newuidmap"
	setcap cap_setgid+ep "$tree/usr/bin/newgidmap"
	install -d -o 1000 -g 1000 "$tree/home/user"
	commit tools --cmd /bin/bash --env HOME=/root
}

# push_golang: what our Dockerfile takes for the official image of Go.
push_golang() {
	local tree=$dir/tree
	mkdir -p "$tree"
	tar -xf "$golang" -C "$tree"
	commit golang --cmd /bin/bash --env GOPATH=/go --env PATH=/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin
}

# commit NAME [SETTING...]: pushes the tree and removes it.
commit() {
	local image=$1 container
	shift
	container=$(store from scratch)
	store copy -q "$container" "$dir/tree" / >/dev/null
	store config "$@" "$container"
	store commit -q --rm --cert-dir "$pki/roots" "$container" "docker://$base_registry/$image:latest" >/dev/null
	rm -rf "$dir/tree"
}

store() { buildah --root "$dir/buildah" --runroot "$dir/buildah-run" --storage-driver vfs "$@"; }
