"""A model as one file: a zip of three members in this order, stored or deflated.

    model.json    what the database holds of the model besides its artifact (`Manifest`)
    model.ubj     XGBoost's own UBJSON
    SHA256SUMS    the SHA-256 of the two, as `sha256sum -c` reads them

The same model gives the same bytes. The sums recognise a damaged file; they are no signature. Who edits the sums too
can lie, but only as far as it could be true: every part is checked by schema (`manifest`). Import files of people you
trust. Nothing in the file is run or unpickled.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
import zlib

from pydantic import ValidationError

from apps.core.errors import ConflictError, PlatformError
from apps.core.sentences import worded
from apps.training import artifact_check
from apps.training.manifest import FORMAT, VERSION, Manifest
from apps.training.models import Model
from apps.training.recipes import Recipe, recipe_parse

MANIFEST, ARTIFACT, SUMS = "model.json", "model.ubj", "SHA256SUMS"
MOST_FILE_BYTES = 64 * 2**20
MOST_BYTES = {MANIFEST: 16 * 2**20, ARTIFACT: 256 * 2**20, SUMS: 1000}
OBJECTIVE = "binary:logistic"
MEDIA_TYPE = "application/zip"
_MOMENT = (1980, 1, 1, 0, 0, 0)


def from_base64(text: str) -> bytes:
    """A file as it comes in JSON. Raises PlatformError MODEL_FILE_NOT_BASE64."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise PlatformError("MODEL_FILE_NOT_BASE64", "The field file holds no base64: encode the whole file.") from None


def pack(model: Model) -> bytes:
    """The model's file. Raises ConflictError MODEL_NOT_EXPORTABLE where what is stored is no whole model."""
    try:
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            **{name: getattr(model, name) for name in Manifest.model_fields if hasattr(model, name)},
            parent_name=model.parent.name if model.parent else "",
        )
    except ValidationError as error:
        raise ConflictError(
            "MODEL_NOT_EXPORTABLE", worded("What is stored is no whole model: %(why)s", why=_first(error))
        ) from None
    text = json.dumps(
        manifest.model_dump(mode="json", exclude_unset=True, by_alias=True),
        indent=1,
        sort_keys=True,
        ensure_ascii=False,
    )
    members = {MANIFEST: text.encode(), ARTIFACT: bytes(model.artifact)}
    members[SUMS] = "".join(f"{_sha256(data)}  {name}\n" for name, data in members.items()).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, _MOMENT), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def unpack(data: bytes) -> Model:
    """A model that is not saved, made from a file whose every part was checked.

    Raises PlatformError MODEL_FILE_TOO_LARGE, MODEL_FILE_FOREIGN, MODEL_FILE_DAMAGED, MODEL_FILE_INVALID, and those of
    features and recipes that this release does not know (FEATURE_UNKNOWN, RECIPE_INVALID).
    """
    members = _members(data)
    manifest = _manifest(members[MANIFEST])
    recipe = recipe_parse(manifest.recipe)
    _check_recipe(manifest, recipe)
    _check_artifact(manifest, members[ARTIFACT])
    fields = manifest.model_dump(exclude={"format", "version", "origin", "parent_name", "recipe", "created_at"})
    made_with = {
        **manifest.made_with.model_dump(exclude_unset=True),
        "imported": {
            "origin": manifest.origin,
            "parent": manifest.parent_name,
            "created_at": manifest.created_at.isoformat(),
            "file_sha256": _sha256(data),
        },
    }
    for part in ("scores", "judging", "profile"):
        fields[part] = getattr(manifest, part).model_dump(mode="json", exclude_unset=True, by_alias=True)
    fields |= {"recipe": recipe.as_json(), "made_with": made_with, "origin": Model.Origin.IMPORTED}
    return Model(**fields, artifact=members[ARTIFACT])


def _members(data: bytes) -> dict[str, bytes]:
    if len(data) > MOST_FILE_BYTES:
        raise PlatformError(
            "MODEL_FILE_TOO_LARGE",
            worded(
                "A model file has at most %(most_file_bytes)s MB; this one has %(data)s B.",
                most_file_bytes=MOST_FILE_BYTES >> 20,
                data=f"{len(data):,}",
            ),
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [entry.filename for entry in archive.infolist()]
            if names != [MANIFEST, ARTIFACT, SUMS]:
                raise _foreign(f"it holds {names[:5]}")
            members = {name: _read(archive, name) for name in names}
    # zipfile says NotImplementedError of a packing that it does not know, RuntimeError of an encrypted file.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise _foreign(str(error)[:200]) from None
    wanted = "".join(f"{_sha256(members[name])}  {name}\n" for name in (MANIFEST, ARTIFACT))
    if members[SUMS].decode("ascii", "replace") != wanted:
        raise PlatformError(
            "MODEL_FILE_DAMAGED",
            "The contents do not match their sums: the file was damaged or edited. Export the model again.",
        )
    return members


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    """One member, whatever its header says no more than its limit (a small file can unpack to a huge one)."""
    with archive.open(name) as member:
        data = member.read(MOST_BYTES[name] + 1)
    if len(data) > MOST_BYTES[name]:
        raise PlatformError(
            "MODEL_FILE_TOO_LARGE",
            worded("%(name)s has more than %(name2)s MB unpacked.", name=name, name2=MOST_BYTES[name] >> 20),
        )
    return data


def _manifest(text: bytes) -> Manifest:
    try:
        source = json.loads(text, parse_constant=_no_constant)
        if rb"\u0000" in text:
            raise ValueError("it holds the character NUL")
    except (ValueError, RecursionError) as error:
        raise _foreign(f"{MANIFEST}: {str(error)[:100]}") from None
    if not isinstance(source, dict) or source.get("format") != FORMAT:
        raise _foreign(f"{MANIFEST} does not say that it is one")
    if source.get("version") != VERSION:
        raise PlatformError(
            "MODEL_FILE_INVALID", worded("This release reads version %(version)s of model files only.", version=VERSION)
        )
    try:
        return Manifest.model_validate(source)
    except ValidationError as error:
        raise PlatformError(
            "MODEL_FILE_INVALID", worded("%(manifest)s, %(why)s", manifest=MANIFEST, why=_first(error))
        ) from None


def _first(error: ValidationError) -> str:
    """The first field that is wrong, and why."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}."


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def _check_recipe(manifest: Manifest, recipe: Recipe) -> None:
    """The question and the columns are those of the recipe, and the columns are known here."""
    if manifest.label_name != recipe.label.rule().name or manifest.horizon_seconds != recipe.label.horizon_seconds:
        raise PlatformError("MODEL_FILE_INVALID", "Its label is not the one of its recipe.")
    if manifest.train_from >= manifest.train_to:
        raise PlatformError("MODEL_FILE_INVALID", "Its training data end before they begin.")
    if tuple(manifest.feature_names) != recipe.feature_names() and recipe.features != "all":
        raise PlatformError("MODEL_FILE_INVALID", "Its features are not those of its recipe.")


def _check_artifact(manifest: Manifest, data: bytes) -> None:
    if _sha256(data) != manifest.artifact_sha256:
        raise PlatformError(
            "MODEL_FILE_DAMAGED",
            worded("%(artifact)s is not the one that %(manifest)s names.", artifact=ARTIFACT, manifest=MANIFEST),
        )
    found = artifact_check.look(data)
    if problem := found.get("error"):
        raise PlatformError(
            "MODEL_FILE_INVALID",
            worded("%(artifact)s is not a readable XGBoost model: %(problem)s.", artifact=ARTIFACT, problem=problem),
        )
    if found["features"] != manifest.feature_names:
        raise PlatformError("MODEL_FILE_INVALID", "The features inside the model differ from its list or their order.")
    if found["objective"] != OBJECTIVE:
        raise PlatformError(
            "MODEL_FILE_INVALID",
            worded(
                "Only models of %(objective)s give probabilities: %(objective2)s.",
                objective=OBJECTIVE,
                objective2=found["objective"],
            ),
        )


def _foreign(why: str) -> PlatformError:
    return PlatformError("MODEL_FILE_FOREIGN", worded("This is not a model file of this product (%(why)s).", why=why))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
