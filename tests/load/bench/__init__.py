"""What our path costs beside a bare `litellm.Router`, in one run: `python -m tests.load.bench`. Figures, not tests."""
