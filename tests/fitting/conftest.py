"""Small logs in layouts that a shop may have, and `drn` as a process."""

import csv
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

ITEMS = 40


def walks(sessions: int, seed: int = 1):
    """Yield (visitor, session, seconds, item, bought) of visitors who walk along a ring of items and buy the next one.

    Every second session buys the item after the last one viewed.
    """
    draw = random.Random(seed)
    for session in range(sessions):
        place, now = draw.randrange(ITEMS), 1_700_000_000 + 3600 * session
        visitor = f"v{session % 50}"
        for _ in range(draw.randint(2, 6)):
            yield visitor, f"s{session}", now, f"item-{place}", False
            place = (place + draw.choice((1, 1, 1, 2))) % ITEMS
            now += draw.randint(5, 60)
        if session % 2:
            yield visitor, f"s{session}", now, f"item-{place}", True


@pytest.fixture(scope="session")
def shop_csv(tmp_path_factory) -> Path:
    """A CSV of visitorid, ts in ms, url and action, without session ids; orders among the actions."""
    path = tmp_path_factory.mktemp("logs") / "Shop Log.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["visitorid", "ts", "url", "action"])
        for visitor, _, now, item, bought in walks(1600):
            writer.writerow([visitor, now * 1000, item, "order" if bought else "detail"])
            if bought:
                writer.writerow([visitor, now * 1000 + 1, item, "hover"])
    return path


@pytest.fixture(scope="session")
def news_jsonl(tmp_path_factory) -> Path:
    """JSON lines of who, when and which article, ISO times, without sessions and without events."""
    path = tmp_path_factory.mktemp("logs") / "news.jsonl"
    with path.open("w") as file:
        for visitor, _, now, item, bought in walks(900, seed=2):
            if not bought:
                stamp = f"2023-11-{14 + now // 86400 % 15:02}T{now // 3600 % 24:02}:{now // 60 % 60:02}:{now % 60:02}Z"
                file.write(json.dumps({"cookie_id": visitor, "event_time": stamp, "article_id": item}) + "\n")
    return path


@pytest.fixture(scope="session")
def run_drn():
    """Runs `drn` in a folder; returns what it came to."""

    def run(*arguments: object, folder: Path, status: int = 0) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "generator", *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run
