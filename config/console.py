"""Settings for the administrators' console."""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from config import types

Networks = Annotated[
    tuple[Annotated[str, AfterValidator(types.check_network)], ...],
    BeforeValidator(types.read_list),
    AfterValidator(types.unique),
]


class ConsoleSettings(BaseModel, defer_build=True):
    """Whether the console is enabled, where it can be reached from, and its timeouts."""

    admin: bool = Field(default=True, description="Whether administrators have a console at `/admin`.")
    admin_listen: Annotated[str, AfterValidator(types.check_listener)] = Field(
        default="",
        description="Separate address for the console, such as `127.0.0.1:9000` or "
        "`unix:/run/latchkey/console.sock`; if empty, it is served at the public address.",
    )
    admin_networks: Networks = Field(
        default=(), description="Networks from which the console can be reached; if empty, from everywhere."
    )
    admin_idle: types.Duration = Field(
        default=timedelta(minutes=30),
        description="Idle time after which administrators have to confirm it's them before they can use the console "
        "again.",
    )
    admin_absolute: types.Duration = Field(
        default=timedelta(hours=12),
        description="Time after which they have to confirm it's them even if they are active.",
    )
