package daemon

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

var regexpOrigins = regexp.MustCompile(`  # .*`)

var api = sync.OnceValues(func() (routers.Router, error) {
	document, err := openapi3.NewLoader().LoadFromFile("../../../docs/openapi.yaml")
	if err != nil {
		return nil, err
	}
	if err := document.Validate(context.Background()); err != nil {
		return nil, err
	}
	return legacy.NewRouter(document)
})

// follows checks an answer, and what was asked for if it was accepted, against docs/openapi.yaml.
func follows(t testing.TB, asked *http.Request, body string, answer *http.Response, text string) {
	t.Helper()
	router, err := api()
	if err != nil {
		t.Fatal(err)
	}
	question := asked.Clone(context.Background())
	question.URL = &url.URL{Scheme: "http", Host: "127.0.0.1:9273", Path: asked.URL.Path}
	question.Host = question.URL.Host
	question.Body = io.NopCloser(strings.NewReader(body))
	route, parameters, err := router.FindRoute(question)
	if err != nil {
		return // 404 or 405, which it does not list
	}
	input := &openapi3filter.RequestValidationInput{Request: question, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	if answer.StatusCode < 300 {
		if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
			t.Errorf("%s %s was accepted, but does not follow the OpenAPI file: %v", asked.Method, body, err)
		}
	}
	output := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: answer.StatusCode,
		Header: answer.Header, Options: &openapi3filter.Options{IncludeResponseStatus: true}}
	output.SetBodyBytes([]byte(text))
	if err := openapi3filter.ValidateResponse(context.Background(), output); err != nil {
		t.Errorf("%s %s: the answer %d %s does not follow the OpenAPI file: %v", asked.Method, asked.URL.Path, answer.StatusCode,
			text, err)
	}
}
