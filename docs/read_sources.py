"""How the API reference reads this package's sources, without importing them."""

import re

import griffe

FENCE = "```pycon"


class ReadSources(griffe.Extension):
    """Puts the folder `tuner` where it is imported, and examples into code blocks."""

    def on_package(self, *, pkg, loader, **kwargs):
        if pkg.name == "keras_fuzzyhess":
            pkg.set_member("tuner", loader.load("tuner"))
            loader.modules_collection.del_member("tuner")

    def on_object(self, *, obj, **kwargs):
        # Whatever is loaded may come more than once.
        if obj.docstring and FENCE not in obj.docstring.value:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text):
    """The text, with a fence around each example, which would else be a quotation."""
    example = re.compile(r"^( *)>>> .+(?:\n *\S.*)*", re.MULTILINE)
    return example.sub(rf"\1{FENCE}\n\g<0>\n\1```", text)
