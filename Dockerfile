# docker build -t smtpbridge .
# docker run --read-only --cap-drop ALL --stop-timeout 90 -p 127.0.0.1:2525:2525 -v ./etc:/etc/smtpbridge:ro \
#   -v smtpbridge:/var/lib/smtpbridge smtpbridge
#
# Inside a container the listener has to be on 0.0.0.0 ("tcp:2525"), so its `allow` must name the senders' networks or
# `auth` must be on: smtpbridge does not start as an open relay. docs/container.md has the configuration by environment,
# compose and Kubernetes.

# What it is made of stands in etc/requirements, each file with its hash (`make lock`): nothing else is installed, and
# nothing that would have to be compiled, so no code of a package runs while the image is built. Name the base image by
# its digest where a build has to be repeated to the octet.

FROM python:3.12-slim AS build
WORKDIR /src
COPY etc/requirements etc/requirements
# The extra [css] is among them because `on_inline_css = "map"` is the default and an image cannot be added to.
RUN python -m venv /opt/smtpbridge \
 && /opt/smtpbridge/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r etc/requirements/image.txt \
 && python -m pip install --no-cache-dir --require-hashes --only-binary :all: -r etc/requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY etc etc
COPY smtpbridge smtpbridge
COPY twisted twisted
# pip has no place in what runs, nor have the tests of the libraries (a tenth of the whole).
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/smtpbridge/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl \
 && /opt/smtpbridge/bin/pip check \
 && /opt/smtpbridge/bin/pip uninstall --yes pip \
 && find /opt/smtpbridge/lib -depth -type d \( -name test -o -name tests \) -exec rm -r {} +
# Twisted would write its plugin cache at the first start, and the user below may not.
RUN rm -f /opt/smtpbridge/lib/python*/site-packages/twisted/plugins/dropin.cache \
 && /opt/smtpbridge/bin/python -c "from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))" \
 && ls /opt/smtpbridge/lib/python*/site-packages/twisted/plugins/dropin.cache

FROM python:3.12-slim
LABEL org.opencontainers.image.title="smtpbridge" \
      org.opencontainers.image.description="An SMTP bridge from SparkPost to Infobip" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 2525 smtpbridge \
 && useradd --no-create-home --no-log-init --uid 2525 --gid 2525 --home-dir /var/lib/smtpbridge --shell /usr/sbin/nologin smtpbridge \
 && install -d -o smtpbridge -g smtpbridge -m 0700 /var/lib/smtpbridge
COPY --from=build /opt/smtpbridge /opt/smtpbridge
# Large bodies pass through files without a name. In the volume they take disk; in a /tmp of memory they would take memory,
# and a read-only root has no other place.
ENV PATH=/opt/smtpbridge/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TMPDIR=/var/lib/smtpbridge
# By number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 2525:2525
WORKDIR /var/lib/smtpbridge
VOLUME /var/lib/smtpbridge
EXPOSE 2525
# Messages under way get their answers, 60 seconds at most: give it 90 to stop, docker's own 10 would cut them off.
STOPSIGNAL SIGTERM
# Whether the process answers, where the configuration has [admin]; without it nobody can be asked, and the container counts
# as healthy while it runs. Not whether it is ready: an orchestrator replaces what is unhealthy, and a new container does not
# mend a login that the provider refuses (docs/health.md).
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 CMD ["smtpbridge", "health", "--live"]
ENTRYPOINT ["twistd", "-n", "--pidfile=", "smtpbridge", "--config", "/etc/smtpbridge/smtpbridge.toml"]
