"""Converts OpenAI's chat completions to the call path's form. Pure."""

from control_plane.api.wires.chat_messages import chat_messages
from control_plane.api.wires.job_headers import take_job_id
from control_plane.api.wires.openai.chat.schema import ChatCompletionBody
from control_plane.api.wires.run_call import ParsedCall
from control_plane.chat import ChatRequest


def parse_request(body: ChatCompletionBody) -> ParsedCall:
    """The call. Raises: JobNotFound."""
    job_id, metadata = take_job_id(body.metadata)
    return ParsedCall(
        request=ChatRequest(chat_messages(body.messages), body.given_parameters()),
        chars=sum(message.text_length() for message in body.messages),
        model_group=body.model,
        job_type="chat",
        job_id=job_id,
        user_id=body.user,
        metadata=metadata,
        is_stream=bool(body.stream),
        default_temperature=None,
    )
