"""Converts a client's call to the call path's types."""

from control_plane.api.jobs.views import call_answer
from control_plane.api.wires.chat_messages import chat_messages
from control_plane.api.wires.prompt_size import require_prompt_size
from control_plane.cache.rules import CacheControl
from control_plane.calls.requests import CallRequest
from control_plane.chat import ChatRequest
from control_plane.ids import Subject
from control_plane.schemas.jobs import CallBody


def from_wire(
    body: CallBody, *, max_prompt_chars: int, cache_control: CacheControl, subject: Subject | None = None
) -> CallRequest:
    """The call. `subject`: the request's, where that is the call and not its job.

    Raises: TooLarge when the messages have more text than that.
    """
    chars = sum(message.text_length() for message in body.messages)
    require_prompt_size(chars, max_prompt_chars, counted="messages have")
    return CallRequest(
        request=ChatRequest(chat_messages(body.messages), body.given_parameters()),
        model_group=body.model_group or body.model,
        purpose=body.purpose,
        metadata=body.call_metadata,
        subject=subject,
        cache_control=cache_control,
        render=call_answer,
    )
