"""The tile service answers its load test; wrong tiles are said to be."""

from __future__ import annotations

import aiohttp

from examples import tiles


async def test_the_load_test(capsys) -> None:
    found = await tiles.main(clients=8, tiles=5, little=20)
    assert found.tiles == 40
    assert "40 tiles of 256 x 256 for 8 clients" in capsys.readouterr().out


async def test_answers(tmp_path) -> None:
    async with tiles.served(tmp_path) as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/tiles/99/0") as answer:
            assert (answer.status, await answer.text()) == (400, "there is no such region")
        async with session.get(f"{url}/metrics") as answer:
            assert "# TYPE" in await answer.text()
        async with session.get(f"{url}/picture") as answer:
            assert len(await answer.read()) == tiles.EDGE**2 * 2
