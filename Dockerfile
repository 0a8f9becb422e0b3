# docker build -t smtpbridge .
# docker run -p 2525:2525 -v ./etc:/etc/smtpbridge:ro -v smtpbridge:/var/lib/smtpbridge smtpbridge
#
# Inside a container the listener has to be on 0.0.0.0 ("tcp:2525"), so its `allow` must name the senders' networks or
# `auth` must be on: smtpbridge does not start as an open relay.

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
COPY smtpbridge smtpbridge
COPY twisted twisted
# pip has no place in what runs.
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/smtpbridge/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl \
 && /opt/smtpbridge/bin/pip check \
 && /opt/smtpbridge/bin/pip uninstall --yes pip
# Twisted would write its plugin cache at the first start, and the user below may not.
RUN rm -f /opt/smtpbridge/lib/python*/site-packages/twisted/plugins/dropin.cache \
 && /opt/smtpbridge/bin/python -c "from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))" \
 && ls /opt/smtpbridge/lib/python*/site-packages/twisted/plugins/dropin.cache

FROM python:3.12-slim
RUN useradd --system --uid 2525 --home-dir /var/lib/smtpbridge --shell /usr/sbin/nologin smtpbridge \
 && install -d -o smtpbridge -g smtpbridge -m 0700 /var/lib/smtpbridge
COPY --from=build /opt/smtpbridge /opt/smtpbridge
ENV PATH=/opt/smtpbridge/bin:$PATH PYTHONUNBUFFERED=1
USER smtpbridge
WORKDIR /var/lib/smtpbridge
VOLUME /var/lib/smtpbridge
EXPOSE 2525
# twistd ends its sessions on SIGTERM and then leaves.
STOPSIGNAL SIGTERM
# Whether the process answers, by /livez of [admin], if the configuration has one on a port; without it nothing is asked,
# and the container counts as healthy while it runs. Not /readyz: an orchestrator replaces what is unhealthy, and a new
# container does not mend a login that the provider refuses (docs/health.md).
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 CMD ["python", "-I", "-c", \
  "import re, tomllib, urllib.request as web; \
  admin = tomllib.load(open('/etc/smtpbridge/smtpbridge.toml', 'rb')).get('admin', {}); \
  port = re.match('tcp6?:([0-9]+)', admin.get('endpoint', '')); \
  port and web.build_opener(web.ProxyHandler({})).open(f'http://localhost:{port[1]}/livez', timeout=4)"]
ENTRYPOINT ["twistd", "-n", "--pidfile=", "smtpbridge", "--config", "/etc/smtpbridge/smtpbridge.toml"]
