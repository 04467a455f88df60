"""Settings that every test shares: how long Hypothesis searches, and that it repeats itself."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci",
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no failing rule
)
settings.register_profile(
    "deep", settings.get_profile("ci"), max_examples=10_000, derandomize=False
)
settings.register_profile("mutation", settings.get_profile("ci"), max_examples=20)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
