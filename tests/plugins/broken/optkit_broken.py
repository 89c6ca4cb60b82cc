"""A module that can not be imported."""

raise ImportError("it needs a library\nthat is not there")
