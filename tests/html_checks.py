"""What pages of HTML must be: whole, escaped, and of themselves."""

import base64
import io
from html.parser import HTMLParser
from xml.etree import ElementTree

VOID = {"meta", "img"}


class Page(HTMLParser):
    """A page whose tags are balanced and which needs nothing from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.words, self.pictures, self.levels, self.rows = [], [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append((tag, given))
        assert tag not in ("script", "iframe", "object", "link", "b")
        assert not [name for name in given if name.startswith("on")]
        for name in ("src", "href"):
            value = given.get(name, "")
            assert not value or value.startswith(("data:image/", "#")), value
            assert not value.startswith("#") or len(value) > 1
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "img":
            assert given["alt"]
            self.pictures.append(given["src"])
        if tag in ("h1", "h2", "h3"):
            level = int(tag[1])
            assert level <= (self.levels[-1] if self.levels else 0) + 1, "headings in order"
            self.levels.append(level)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.words.append(data)
        if any(tag in self.open for tag in ("td", "th")):
            self.rows[-1][-1] += data

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def row(self, name):
        """The cells behind the first one, of the first row that begins so."""
        return next(row[1:] for row in self.rows if row[0] == name)

    def drawn(self):
        """The pictures, decoded: text of SVG, sizes of PNG."""
        from PIL import Image

        found = []
        for source in self.pictures:
            kind, data = source.removeprefix("data:image/").split(";base64,")
            data = base64.b64decode(data, validate=True)
            if kind == "svg+xml":
                assert ElementTree.fromstring(data).tag.endswith("svg")
                found.append(data.decode())
            else:
                with Image.open(io.BytesIO(data)) as image:
                    image.load()
                    found.append(image.size)
        return found
