"""The daemon's own page, metrics and health over HTTP (docs/DASHBOARD.md). Needs the extra ``pi``.

server = DashboardServer(daemon, settings.server)
await server.start()
...
await server.stop()
"""
