"""Topic rules that do not exist: refused with the codes that their operations have.

Each method replaces the one of the same name of moto's ``IoTResponse``, which answers with a code that none of these
operations has.

Source: botocore's iot model (errors of GetTopicRule, DeleteTopicRule, …); the Terraform AWS provider, which takes
UnauthorizedException of GetTopicRule for a rule that does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from moto.iot.responses import IoTResponse

from .responses import AwsError

OPERATIONS = ("get_topic_rule", "delete_topic_rule", "enable_topic_rule", "disable_topic_rule", "replace_topic_rule")


def replacements() -> Mapping[str, Callable[[Any], Any]]:
    """The methods by name; call it before the class is changed."""
    return {name: _of_known_rules(getattr(IoTResponse, name)) for name in OPERATIONS}


def _of_known_rules(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def method(self: Any) -> Any:
        name = self.params["ruleName"]
        if name not in self.iot_backend.rules:
            raise AwsError("UnauthorizedException", f"Access to topic rule '{name}' was denied")
        return original(self)

    return method
