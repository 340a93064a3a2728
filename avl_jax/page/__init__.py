"""The page: record a question in a browser, watch the answers; its server."""
