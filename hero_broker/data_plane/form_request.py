"""A call whose body is a form with a file, while the form arrives."""

from pathlib import Path

from hero_broker.data_plane.client_call import ClientCall, RequestContext
from hero_broker.data_plane.multipart import FormRewriter, parse_boundary
from hero_broker.data_plane.upload import Upload
from hero_broker.kinds.kind import Kind
from hero_broker.providers.routes import Route, Routes


class FormRequest:
    """One request with a form: its upload, and the route of the model that the form names."""

    def __init__(
        self,
        kind: Kind,
        content_type: bytes,
        routes: Routes,
        directory: Path,
        max_bytes: int,
        deployment: str | None = None,
    ) -> None:
        """Prepare to read the form; `deployment` is the model that the request's path names, if it names one.

        Raises:
            InvalidRequest: the content type names no boundary, or is not well-formed.
            ModelNotFound: no model of the kind has the name `deployment`.
        """
        self._kind = kind
        self._routes = routes
        self._route: Route | None = None
        form = FormRewriter(parse_boundary(content_type), self._upstream_model, deployment)
        self.upload = Upload(form, directory, max_bytes)

    def _upstream_model(self, model: str) -> str:
        self._route = self._routes.find(model, self._kind.name)
        return self._route.upstream_model

    def call(self, path: str, declared_bytes: int, context: RequestContext) -> tuple[ClientCall, Route]:
        """Return the call that came on `path`, and its route, once the upload is ready.

        Raises:
            InvalidRequest: a field is missing or wrong.
        """
        request = self._kind.read_form(self.upload.fields, self.upload.length or declared_bytes)
        route = self._route or self._routes.find(request.model, self._kind.name)
        return ClientCall(context, self._kind, path, request, self.upload), route
