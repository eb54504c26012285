"""What our path costs beside a bare `litellm.Router`, in one run: `python -m tests.bench`. Figures, not tests."""
