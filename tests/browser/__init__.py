"""The page as people have it before them: Debian's Chromium, driven by Playwright, over a real demo or a made-up room."""
