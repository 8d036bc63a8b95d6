"""The API's documentation page (Swagger UI) from our own files: no browser asks a third party.

The files are those of the npm package swagger-ui-dist 5.35.0 (Apache-2.0), without the pointers to
source maps. `SHA384` holds their sums.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import HTMLResponse

FOLDER = Path(__file__).parent / "swagger-ui-5.35.0"
SHA384 = {
    "swagger-ui-bundle.js": "sha384-gjRm0bEPMeTmMh5jT2cHccIwCUZSTd8YC+j0d0sXw0MdGEfScduGpSyF3ZSSLkX9",  # noqa: E501 - a sum
    "swagger-ui.css": "sha384-DpTNX8bn5aKPf8Pw3oS7G+WdmJL1ltbhlL3fgUMJOy5Q9/rkoyXqr5uJLLznq9KR",
}


def add_docs(app: FastAPI) -> None:
    """Serve /docs for `app`, wherever it is mounted."""
    app.mount("/docs-files", StaticFiles(directory=FOLDER))

    async def docs(request: Request) -> HTMLResponse:
        base = request.scope.get("root_path", "")
        return get_swagger_ui_html(
            openapi_url=f"{base}/openapi.json",
            title=app.title,
            swagger_js_url=f"{base}/docs-files/swagger-ui-bundle.js",
            swagger_css_url=f"{base}/docs-files/swagger-ui.css",
            swagger_favicon_url="data:,",
        )

    app.get("/docs", include_in_schema=False)(docs)
