# The gateway and control plane in one image: docker build -t lanekeeper . && docker run -p 3128:3128 lanekeeper
# Bound to all addresses without GATEWAY_TOKENS it serves private source ranges only (README).
FROM node:24-bookworm-slim

# The optional dependencies are Node itself, which the image has.
ENV NODE_ENV=production
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional && npm cache clean --force
COPY config ./config
COPY src ./src

# Kept data belongs on a volume; the folder exists, so that a volume made here belongs to the user too.
ENV GATEWAY_HOST=0.0.0.0 DATA_DIR=/var/lib/lanekeeper
RUN install -d -o node -g node "$DATA_DIR"
VOLUME /var/lib/lanekeeper
USER node

# The admin port stays on the container's loopback unless ADMIN_HOST says otherwise; then set ADMIN_TOKEN too.
EXPOSE 3128 3129
# A role without an admin port does not exist, so this holds for all of them.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.ADMIN_PORT || 3129}/healthz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]

# No shell and no npm in between: SIGTERM must reach the program. Tunnels get 30 s to end (gateway.stopDeadlineMs),
# so stop it with a longer grace: docker stop --time 40.
CMD ["node", "src/cli/main.ts", "start"]
