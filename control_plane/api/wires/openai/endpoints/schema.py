"""Request models of endpoints with a single response, as OpenAI's and Cohere's SDKs send them."""

from typing import Annotated, Literal

from pydantic import Field

from control_plane.schemas.base import Body, GivenJson, Label
from control_plane.schemas.metadata import Metadata


class EmbeddingsBody(Body):
    """`POST /v1/embeddings`. `input`: a text, texts, or the same as numbers of tokens."""

    input: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=2048)]
        | Annotated[list[Annotated[int, Field(strict=True, ge=0)]], Field(min_length=1, max_length=100_000)]
        | Annotated[
            list[Annotated[list[Annotated[int, Field(strict=True, ge=0)]], Field(min_length=1)]],
            Field(min_length=1, max_length=2048),
        ]
    ) = Field(description="a text, up to 2,048 texts, or the same as numbers of tokens")
    model: Label | None = Field(
        default=None, description="model group, or a model that the team may use; without it the default"
    )
    dimensions: Annotated[int, Field(strict=True, ge=1, le=100_000)] | None = Field(
        default=None, description="length of the vectors, for models with a choice"
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        default=None, description="`float`: a list of numbers; `base64`: little-endian 32-bit floats"
    )
    metadata: Metadata | None = Field(
        default=None,
        description="the app's JSON object, stored with the call; `job_id`: the job to join; at most 10 KB",
    )
    user: Label | None = Field(default=None, description="the app's id of its end user, stored with the call's own job")


class ModerationsBody(Body):
    """`POST /v1/moderations`. `input`: a text, or texts."""

    input: str | Annotated[list[str], Field(min_length=1, max_length=2048)] = Field(
        description="a text, or up to 2,048 texts"
    )
    model: Label | None = Field(
        default=None, description="model group, or a model that the team may use; without it the default"
    )
    metadata: Metadata | None = Field(
        default=None,
        description="the app's JSON object, stored with the call; `job_id`: the job to join; at most 10 KB",
    )
    user: Label | None = Field(default=None, description="the app's id of its end user, stored with the call's own job")


class RerankBody(Body):
    """`POST /v1/rerank`, as Cohere and others have it."""

    query: Annotated[str, Field(min_length=1)] = Field(description="the query")
    documents: Annotated[list[str | GivenJson], Field(min_length=1, max_length=10_000, fail_fast=True)] = Field(
        description="up to 10,000 texts, or objects with a `text`"
    )
    model: Label | None = Field(
        default=None, description="model group, or a model that the team may use; without it the default"
    )
    top_n: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None, description="number of best results; default: all"
    )
    return_documents: bool | None = Field(default=None, description="true: with the documents' texts")
    max_chunks_per_doc: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None, description="the most pieces of a long document"
    )
    metadata: Metadata | None = Field(
        default=None,
        description="the app's JSON object, stored with the call; `job_id`: the job to join; at most 10 KB",
    )
    user: Label | None = Field(default=None, description="the app's id of its end user, stored with the call's own job")
