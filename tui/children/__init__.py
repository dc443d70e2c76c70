"""Commands that run beside the app: asked, kept running, let go, and answered when they ask."""
