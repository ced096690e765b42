package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/philiporange/supervisor/api/wire"
)

const manifestPath = "/api/v1/manifests/file"

// ManifestFiles is what lies in the manifest folder.
func (c *Client) ManifestFiles(ctx context.Context) (wire.ManifestFiles, error) {
	return get[wire.ManifestFiles](ctx, c, "/api/v1/manifests", nil)
}

// ManifestFile is the text of a manifest file, with the tag that WriteManifestFile can demand. Secrets are masked unless
// reveal is true, which works over the unix socket or with the token.
func (c *Client) ManifestFile(ctx context.Context, path string, reveal bool) (wire.ManifestText, error) {
	query := url.Values{"path": {path}}
	if reveal {
		query.Set("reveal", "true")
	}
	out := wire.ManifestText{Path: path}
	resp, err := c.send(ctx, request{method: http.MethodGet, path: manifestPath, query: query})
	if err != nil {
		return out, err
	}
	defer resp.Body.Close() //nolint:errcheck // the answer has been read
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return out, fmt.Errorf("read %s: %w", path, err)
	}
	out.Text, out.ETag = string(text), resp.Header.Get("ETag")
	return out, nil
}

// ManifestEdit is a new text of a manifest file.
type ManifestEdit struct {
	Path string
	Text []byte
	// ETag is that of the text which was seen; New demands that there is no such file.
	ETag string
	New  bool
	// Force writes also what is not valid.
	Force bool
}

// WriteManifestFile puts a text in place of a file, and returns when it was acted on. When the file is not as it was seen,
// the error is a *wire.Problem of the code stale, with the file as it is.
func (c *Client) WriteManifestFile(ctx context.Context, e ManifestEdit) (wire.ManifestWritten, error) {
	r := request{
		method: http.MethodPut, path: manifestPath, query: url.Values{"path": {e.Path}}, body: e.Text, contentType: "application/yaml",
		header: map[string]string{},
	}
	if e.Force {
		r.query.Set("force", "true")
	}
	if e.ETag != "" {
		r.header["If-Match"] = e.ETag
	}
	if e.New {
		r.header["If-None-Match"] = "*"
	}
	var out wire.ManifestWritten
	_, err := c.call(ctx, r, &out)
	return out, err
}

// DeleteManifestFile removes a file, and with it what it held. An empty etag removes it as it is.
func (c *Client) DeleteManifestFile(ctx context.Context, path, etag string) (wire.ManifestWritten, error) {
	r := request{method: http.MethodDelete, path: manifestPath, query: url.Values{"path": {path}}, header: map[string]string{}}
	if etag != "" {
		r.header["If-Match"] = etag
	}
	var out wire.ManifestWritten
	_, err := c.call(ctx, r, &out)
	return out, err
}

// Preview says what a text would do, and writes nothing.
func (c *Client) Preview(ctx context.Context, p wire.PreviewRequest) (wire.Preview, error) {
	var out wire.Preview
	body, err := json.Marshal(p)
	if err != nil {
		return out, fmt.Errorf("preview: %w", err)
	}
	_, err = c.call(ctx, request{method: http.MethodPost, path: "/api/v1/manifests/preview", body: body, contentType: "application/json"}, &out)
	return out, err
}
