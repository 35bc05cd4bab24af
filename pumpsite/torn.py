"""Answers that fail half way: the connection ends, so that no reader takes a part of a file for the whole.

Daphne would send its page of errors behind the part, which it refuses itself; the reader then waits for ever, and from
that moment on Daphne looks after no request any more.
"""

from __future__ import annotations

from daphne.http_protocol import WebRequest

_page_of_errors = WebRequest.handle_exception


def break_off_torn_answers() -> None:
    """From now on Daphne ends the connection of an answer that had begun when its application failed."""
    WebRequest.handle_exception = _handle_exception


def _handle_exception(request: WebRequest, exception: BaseException) -> None:
    if request._response_started:
        request.loseConnection()  # without the last chunk
    else:
        _page_of_errors(request, exception)
