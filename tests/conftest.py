"""For every test: how long an example may take is no outcome, so hypothesis has no deadline."""

from hypothesis import settings

settings.register_profile("spreekkamer", deadline=None)
settings.load_profile("spreekkamer")
