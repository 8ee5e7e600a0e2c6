"""Codecs of a spec in the one form that TensorStore gives them back in."""

from __future__ import annotations

from asynctensor.storage.kvstore import Json

#: Members of the configuration of ``sharding_indexed`` that are chains of their own.
_CHAINS = frozenset({"codecs", "index_codecs"})


def spelled_out_codecs(chain: Json) -> Json:
    """A chain of codecs as objects, without configurations that say nothing.

    What is no chain, or no codec, stays as it is: who reads it says what is wrong.
    """
    return [_codec(each) for each in chain] if isinstance(chain, list) else chain


def _codec(codec: Json) -> Json:
    if isinstance(codec, str):
        return {"name": codec}
    if not isinstance(codec, dict):
        return codec
    configuration = codec.get("configuration")
    if configuration == {}:
        return {name: value for name, value in codec.items() if name != "configuration"}
    if codec.get("name") != "sharding_indexed" or not isinstance(configuration, dict):
        return codec
    written = {
        name: spelled_out_codecs(value) if name in _CHAINS else value
        for name, value in configuration.items()
    }
    return {**codec, "configuration": written}
