package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	v1 "github.com/philiporange/supervisor/api/v1"
	"github.com/philiporange/supervisor/api/wire"
)

// kindPath is the folder of a kind's full objects.
func kindPath(kind string) (string, error) {
	switch kind {
	case v1.KindService:
		return "/api/v1/services", nil
	case v1.KindCronJob:
		return "/api/v1/cronjobs", nil
	}
	return "", fmt.Errorf("there is no kind %q; write %s or %s", kind, v1.KindService, v1.KindCronJob)
}

func decodeObject(kind string, raw []byte) (v1.Object, error) {
	var o v1.Object = &v1.Service{}
	if kind == v1.KindCronJob {
		o = &v1.CronJob{}
	}
	if err := json.Unmarshal(raw, o); err != nil {
		return nil, fmt.Errorf("read a %s: %w", kind, err)
	}
	return o, nil
}

// Objects returns the full objects of a kind (v1.KindService, v1.KindCronJob) with their status, sorted by name.
// selector picks by labels, in Kubernetes' form ("team=web,tier!=test"); empty picks all. Secrets are masked.
func (c *Client) Objects(ctx context.Context, kind, selector string) ([]v1.Object, error) {
	path, err := kindPath(kind)
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	if selector != "" {
		query.Set("labelSelector", selector)
	}
	list, err := get[wire.List[json.RawMessage]](ctx, c, path, query)
	if err != nil {
		return nil, err
	}
	out := make([]v1.Object, len(list.Items))
	for i, raw := range list.Items {
		if out[i], err = decodeObject(kind, raw); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Object returns one full object with its status. Secrets are masked.
func (c *Client) Object(ctx context.Context, kind, name string) (v1.Object, error) {
	o, _, err := c.ObjectTag(ctx, kind, name)
	return o, err
}

// ObjectTag is Object with the entity tag that a later PutObject can demand.
func (c *Client) ObjectTag(ctx context.Context, kind, name string) (o v1.Object, etag string, err error) {
	path, err := kindPath(kind)
	if err != nil {
		return nil, "", err
	}
	var raw json.RawMessage
	header, err := c.call(ctx, request{method: http.MethodGet, path: path + "/" + url.PathEscape(name)}, &raw)
	if err != nil {
		return nil, "", err
	}
	o, err = decodeObject(kind, raw)
	return o, header.Get("ETag"), err
}

// PutObject creates or replaces one object from its YAML or JSON text. etag, when it is not empty, must still be that
// of the object; "*" demands that there is one.
func (c *Client) PutObject(ctx context.Context, kind, name string, text []byte, etag string) (v1.Object, error) {
	path, err := kindPath(kind)
	if err != nil {
		return nil, err
	}
	r := request{method: http.MethodPut, path: path + "/" + url.PathEscape(name), body: text, contentType: textType(text)}
	if etag != "" {
		r.header = map[string]string{"If-Match": etag}
	}
	var raw json.RawMessage
	if _, err := c.call(ctx, r, &raw); err != nil {
		return nil, err
	}
	return decodeObject(kind, raw)
}

func textType(text []byte) string {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return "application/json"
	}
	return "application/yaml"
}

// Apply creates or replaces each object of a YAML text with any number of documents. Nothing is written when one of
// them is invalid: the error is then a *wire.Problem with line numbers.
func (c *Client) Apply(ctx context.Context, yaml []byte) ([]wire.Applied, error) {
	var out wire.ApplyResult
	_, err := c.call(ctx, request{method: http.MethodPost, path: "/api/v1/apply", body: yaml, contentType: "application/yaml"}, &out)
	return out.Items, err
}

// Validate says what is wrong with a YAML text, and writes nothing.
func (c *Client) Validate(ctx context.Context, yaml []byte) (wire.Validation, error) {
	var out wire.Validation
	_, err := c.call(ctx, request{method: http.MethodPost, path: "/api/v1/validate", body: yaml, contentType: "application/yaml"}, &out)
	return out, err
}

// Delete removes an object's manifest, and returns when nothing of the object is left.
func (c *Client) Delete(ctx context.Context, kind, name string) error {
	path, err := kindPath(kind)
	if err != nil {
		return err
	}
	_, err = c.call(ctx, request{method: http.MethodDelete, path: path + "/" + url.PathEscape(name)}, nil)
	return err
}
