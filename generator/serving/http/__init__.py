"""The HTTP service: routes, bodies, the Open Inference Protocol, the web page, the server."""
