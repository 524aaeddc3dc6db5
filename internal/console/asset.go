package console

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
)

// assetAddress is the address of an asset. It changes with the content, so browsers may keep what they have.
func assetAddress(name string) string {
	text, err := assets.ReadFile("static/" + name)
	if err != nil {
		return "/static/" + name
	}
	sum := sha256.Sum256(text)
	return "/static/" + name + "?v=" + hex.EncodeToString(sum[:6])
}

// serveAsset sends an embedded file; only an address that names its content may be kept.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("v") {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.FileServerFS(assets).ServeHTTP(w, r)
}
