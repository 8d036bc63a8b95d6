import base64
import hashlib

from services.kit import apidocs
from services.kit.service import new_app
from tests.unit.kit.test_problems import ask


def test_the_vendored_files_are_those_that_were_packed() -> None:
    for name, wanted in apidocs.SHA384.items():
        found = hashlib.sha384((apidocs.FOLDER / name).read_bytes()).digest()
        assert f"sha384-{base64.b64encode(found).decode()}" == wanted, name


async def test_the_documentation_page_asks_no_third_party() -> None:
    page = await ask(new_app("probe", "A probe."), "GET", "/docs")
    assert page.status_code == 200
    assert "http://" not in page.text.replace("http://probe", "")
    assert "https://" not in page.text
    assert (await ask(new_app("probe", "A probe."), "GET", "/docs-files/swagger-ui.css")).is_success
