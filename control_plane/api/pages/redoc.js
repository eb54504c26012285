Redoc.init("/openapi.json", { disableGoogleFont: true, hideDownloadButton: false }, document.getElementById("redoc"));
