# The image of Kovra: one static program in an empty image, run by nobody in particular.
#
#	docker build -t registry.example.com/team/kovra --build-arg VERSION=v1.2.3 .
#	docker build -t registry.example.com/team/kovra-demo --target kovra-demo .
#
# BuildKit and Buildah build it. The same context, GO_IMAGE and VERSION give the same program.
# Without the internet: GO_IMAGE names a copy of that image, or any other with Go, gcc and the
# static C library; and GOPROXY a mirror of modules, or `go mod vendor` puts them into the context.
ARG GO_IMAGE=docker.io/library/golang:1.26.11-bookworm
# What the program stands on: nothing. An image of one's own may take its place.
ARG RUNTIME_IMAGE=scratch

FROM ${GO_IMAGE} AS build
# Empty: as Go has it.
ARG GOPROXY
# Shown by `kovra --version`.
ARG VERSION=dev
# SQLite is C. It is linked statically, and so are the resolvers of names and users, in Go; what
# SQLite could load at run time is left out.
ENV CGO_ENABLED=1 GOTOOLCHAIN=local GOFLAGS="-trimpath -buildvcs=false -tags=netgo,osusergo,sqlite_omit_load_extension"
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.cache/go-build --mount=type=cache,target=/go/pkg/mod \
	go build -ldflags "-s -w -linkmode external -extldflags -static -X main.released=${VERSION}" -o /out/kovra ./cmd/kovra
# What the runtime image gets beside the program: whom to trust, and two folders to write in.
RUN mkdir -p /out/etc/ssl/certs /out/data /out/tmp && chmod 1777 /out/tmp && \
	cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/

FROM build AS build-demo
RUN --mount=type=cache,target=/root/.cache/go-build --mount=type=cache,target=/go/pkg/mod \
	go build -ldflags "-s -w -linkmode external -extldflags -static" -o /out/kovra-demo ./cmd/kovra-demo

# The demo. Its simulated peers have addresses of their own on this machine, so:
# docker run --rm --network host …/kovra-demo
FROM ${RUNTIME_IMAGE} AS kovra-demo
COPY --from=build-demo --chown=65532:65532 /out/tmp /tmp
COPY --from=build-demo /out/kovra-demo /usr/local/bin/kovra-demo
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/kovra-demo"]

# The bot, the last and so the default one. It writes into /data and /tmp alone.
FROM ${RUNTIME_IMAGE} AS kovra
COPY --from=build /out/etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/tmp /tmp
COPY --from=build /out/kovra /usr/local/bin/kovra
# PATH is for `kubectl exec … -- kovra …`: a builder need not set one where there is no base.
ENV PATH=/usr/local/bin
ENV KOVRA_DATABASE_URL=sqlite:/data/kovra.db
USER 65532:65532
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/kovra"]
CMD ["serve"]
