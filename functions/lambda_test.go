package functions_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"freshet/functions"
)

func TestLambda_SpellsRequestsAndAnswers(t *testing.T) {
	var got []string
	handler := functions.Lambda(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		cookie, _ := r.Cookie("b")
		got = []string{r.Method, r.URL.Path, r.URL.Query().Get("q"), r.Host, r.Header.Get("Freshet-Attempt"), cookie.Value, string(body)}
		w.Header().Add("Vary", "A")
		w.Header().Add("Vary", "B")
		http.SetCookie(w, &http.Cookie{Name: "x", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "y", Value: "2"})
		w.WriteHeader(http.StatusTeapot)
		w.Write([]byte{0xFF, 0x00})
	}))
	event := events.LambdaFunctionURLRequest{
		RawPath: "/a b/c", RawQueryString: "q=1%262", Cookies: []string{"a=1", "b=2"},
		Headers: map[string]string{"host": "fn.example", "freshet-attempt": "3"}, Body: "aGk=", IsBase64Encoded: true,
	}
	event.RequestContext.HTTP.Method = "PUT"
	answer, err := handler(context.Background(), event)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"PUT", "/a b/c", "1&2", "fn.example", "3", "2", "hi"}, got); diff != "" {
		t.Error(diff)
	}
	want := events.LambdaFunctionURLResponse{
		StatusCode: http.StatusTeapot, Headers: map[string]string{"Vary": "A, B"}, Cookies: []string{"x=1", "y=2"}, Body: "/wA=", IsBase64Encoded: true,
	}
	if diff := cmp.Diff(want, answer); diff != "" {
		t.Error(diff)
	}
	event.Body = "?"
	if _, err := handler(context.Background(), event); err == nil {
		t.Error("a body that is not base64 was accepted")
	}
}
