"""Serve exported bundles over HTTP."""

from tagsmith.config.hydra_door import script
from tagsmith.config.settings import ServeRun


@script("serve")
def main(settings: ServeRun) -> None:
    # Imported here, so that --help and wrong settings do not wait for onnxruntime.
    from tagsmith.serve.service import serve

    serve(settings.serve)


if __name__ == "__main__":
    main()
