"""Pictures of coins: only our own, small, from what is one."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from PIL import Image

from apps.discovery import thumbnails
from apps.discovery.models import Coin
from apps.discovery.tests.site import Handler, Site, answer
from apps.discovery.thumbnails import SIDE, PictureError, make_room, path_of, shrink, thumbnail


def picture(kind: str = "PNG", size: tuple[int, int] = (300, 200), **options: Any) -> bytes:
    out = io.BytesIO()
    mode = "P" if kind == "GIF" else "RGB"  # else looking for the best palette takes a second
    Image.new(mode, size, (200, 30, 30)).save(out, kind, **options)
    return out.getvalue()


def many_scans() -> bytes:
    """A small file that asks for its last pass over all pixels again and again."""
    once = picture("JPEG", size=(400, 400), progressive=True)
    return once[:-2] + once[once.rfind(b"\xff\xda") : -2] * 200 + once[-2:]


@pytest.fixture(autouse=True)
def _folder(settings: Any, tmp_path: Path, site: Site) -> None:
    settings.RUNTIME_DIR, settings.THUMBNAILS = tmp_path, True
    settings.FEED_MODE, settings.SIMULATOR_PORT = "simulator", site.port  # so that the site may be asked


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_becomes_a_small_one_of_ours(kind: str) -> None:
    with Image.open(io.BytesIO(shrink(picture(kind)))) as small:
        assert (small.format, small.size) == ("WEBP", (SIDE, SIDE))


def test_nothing_else_of_the_file_is_kept() -> None:
    exif = Image.Exif()
    exif[0x010E] = "<script>alert(1)</script>"
    small = shrink(picture("JPEG", exif=exif, icc_profile=b"<script>", comment=b"<script>") + b"<script>")
    assert b"script" not in small


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright_however_the_camera_was_held(orientation: int) -> None:
    """The corner that the camera saw at the top left, by EXIF's own table of where the first row and column stand."""
    image = Image.new("RGB", (300, 200), "white")
    image.paste("red", (0, 0, 150, 100))
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif)
    with Image.open(io.BytesIO(shrink(out.getvalue()))) as small:
        pixels = small.convert("RGB")
    corners = {"top left": (20, 20), "top right": (76, 20), "bottom right": (76, 76), "bottom left": (20, 76)}
    red = [name for name, at in corners.items() if pixels.getpixel(at)[1] < 100]  # type: ignore[index, operator]
    stands = ["top left", "top right", "bottom right", "bottom left"]
    assert red == [stands[(orientation - 1) % 4]]


@pytest.mark.parametrize("value", [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"])
def test_a_picture_that_does_not_say_it_readably_stays_as_it_is(value: bytes) -> None:
    with Image.open(io.BytesIO(shrink(picture("JPEG", exif=value)))) as small:
        assert small.size == (SIDE, SIDE)


def test_an_animation_becomes_its_first_frame() -> None:
    frames = [Image.new("RGB", (10, 10), color) for color in ("red", "green")]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    with Image.open(io.BytesIO(shrink(out.getvalue()))) as small:
        red, green, _, _ = small.convert("RGBA").getpixel((5, 5))  # type: ignore[misc]
        assert red > 200 > green and getattr(small, "n_frames", 1) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"",
        lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        lambda: picture()[:60],
        lambda: picture("BMP"),
        lambda: picture("TIFF"),
        lambda: picture("GIF", size=(5_000, 5_000)),
        lambda: picture("PNG", size=(9_000, 2_000)),
        lambda: picture("JPEG")[:-200],
        many_scans,
    ],
    ids=["empty", "svg", "cut PNG", "BMP", "TIFF", "huge GIF", "huge PNG", "cut JPEG", "JPEG of many scans"],
)
def test_what_is_no_picture_or_a_huge_one_is_refused(make: Callable[[], bytes]) -> None:
    data = make()
    with pytest.raises(PictureError):
        shrink(data)


def test_a_picture_is_fetched_once_and_a_failure_not_at_once_again(site: Site) -> None:
    site.pages["/a.png"] = answer(picture(), Content_Type="image/png")
    assert thumbnail(site.url("/a.png")) == thumbnail(site.url("/a.png"))
    site.pages["/b.png"] = answer(b"<html>", Content_Type="text/html")
    assert thumbnail(site.url("/b.png")) is None and thumbnail(site.url("/b.png")) is None
    assert [path for path, _ in site.asked] == ["/a.png", "/b.png"]
    site.pages["/b.png"] = answer(picture(), Content_Type="image/png")
    old = timezone.now().timestamp() - thumbnails.FORGET_FAILURE_SECONDS - 1
    os.utime(path_of(site.url("/b.png")), (old, old))
    assert thumbnail(site.url("/b.png"))


def test_a_picture_is_shown_also_where_it_cannot_be_kept(site: Site) -> None:
    kept = path_of(site.url("/a.png"))

    def spoil(handler: Handler) -> None:
        (kept / "one").mkdir(parents=True)  # no file can take the place of a full folder
        answer(picture(), Content_Type="image/png")(handler)

    site.pages["/a.png"] = spoil
    assert thumbnail(site.url("/a.png"))
    assert list(kept.parent.iterdir()) == [kept], "nothing half done is left"


def test_the_folder_keeps_its_size(tmp_path: Path) -> None:
    for number in range(5):
        path = tmp_path / f"{number}.webp"
        path.write_bytes(b"x" * 100)
        os.utime(path, (number, number))
    (tmp_path / "gone.webp").symlink_to(tmp_path / "deleted")  # listed, and not there when it is looked at
    make_room(tmp_path, 250)
    (tmp_path / "gone.webp").unlink()
    assert sorted(path.name for path in tmp_path.glob("*.webp")) == ["3.webp", "4.webp"]


@pytest.mark.django_db
def test_the_page_shows_it_only_when_wanted(client: Client, settings: Any, site: Site) -> None:
    site.pages["/a.png"] = answer(picture(), Content_Type="image/png")
    Coin.objects.create(mint="m", first_seen_at=timezone.now(), image_url=site.url("/a.png"))
    client.force_login(get_user_model().objects.create_user("person"))
    shown = client.get("/discovery/coins/m/thumb.webp")
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/webp")
    assert shown.headers["x-content-type-options"] == "nosniff"
    page = client.get("/discovery/coins/m/")
    assert "/discovery/coins/m/thumb.webp" in page.content.decode() and site.url("") not in page.content.decode()
    assert "img-src 'self' data:" in page.headers["content-security-policy"]
    settings.THUMBNAILS = False
    assert client.get("/discovery/coins/m/thumb.webp").status_code == 404
    assert "thumb.webp" not in client.get("/discovery/coins/m/").content.decode()


@pytest.mark.django_db
def test_pictures_are_for_people_who_are_signed_in(client: Client) -> None:
    assert client.get("/discovery/coins/m/thumb.webp").status_code == 302
