"""The body of a payload of metrics, as strict as contract §2: no member too many, no type bent."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX = 2**53 - 1
Count = Annotated[int, Field(ge=0, le=MAX)]
Load = Annotated[float, Field(ge=0, le=MAX)]
Text = Annotated[str, Field(min_length=1, max_length=256)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Disk(Strict):
    mount: Text
    total_bytes: Count
    used_bytes: Count


class Network(Strict):
    interface: Text
    rx_bytes: Count
    tx_bytes: Count


class Metrics(Strict):
    cpu_usage_percent: Annotated[float, Field(ge=0, le=100)]
    cpu_cores: Count | None = None
    load1: Load | None = None
    load5: Load | None = None
    load15: Load | None = None
    mem_total_bytes: Count | None = None
    mem_used_bytes: Count | None = None
    swap_total_bytes: Count | None = None
    swap_used_bytes: Count | None = None
    uptime_seconds: Load | None = None
    disks: Annotated[list[Disk], Field(max_length=64)] | None = None
    networks: Annotated[list[Network], Field(max_length=64)] | None = None


class Payload(Strict):
    v: Literal[1]
    type: Literal["metrics"]
    aud: Text
    agent_id: Text
    agent_version: Annotated[str, Field(min_length=1, max_length=64)]
    epoch: Annotated[int, Field(ge=1, le=2**40)]
    seq: Annotated[int, Field(ge=1, le=MAX)]
    captured_at: datetime
    sent_at: datetime
    data: Metrics
