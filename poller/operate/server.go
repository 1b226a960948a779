package operate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"freshet/shared/exchange"
	"freshet/shared/problem"
)

// mostBody is the size of a request, at most.
const mostBody = 1 << 20

// Handler serves all below RouteAPI. Every error is application/problem+json. Until there is an operator, nil, it answers that the poller
// is starting.
//
// Nobody proves who they are here: the address is to be kept from strangers. A browser on the same network is not a stranger, so what a foreign page
// could make it send is refused.
func Handler(o Operator) http.Handler {
	s := server{o}
	mux := http.NewServeMux()
	for route, methods := range map[string]map[string]action{
		RouteBackfills:     {http.MethodGet: s.backfills, http.MethodPost: s.startBackfill},
		RouteBackfill:      {http.MethodPost: s.changeBackfill},
		RouteVerifications: {http.MethodPost: s.startVerification},
		RouteVerification:  {http.MethodGet: s.verification, http.MethodDelete: s.cancelVerification},
	} {
		mux.Handle(route, s.among(methods))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, Refuse(http.StatusNotFound, "there is nothing at "+r.URL.Path, "", "ask for "+RouteBackfills+" or "+RouteVerifications))
	})
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fail(w, Refuse(http.StatusForbidden, "a page of another site may not ask for this", "a browser sent it for that page", "use the commands of the program, or curl"))
	}))
	return origins.Handler(mux)
}

type server struct{ operator Operator }

// action does one request and answers what is to be sent.
type action func(r *http.Request, body []byte) (status int, answer any, err error)

// among chooses the action by the method.
func (s server) among(methods map[string]action) http.Handler {
	allowed := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		act := methods[r.Method]
		if act == nil {
			w.Header().Set("Allow", allowed)
			fail(w, Refuse(http.StatusMethodNotAllowed, fmt.Sprintf("%s does not go with %s", r.Method, r.URL.Path), "", "use "+allowed))
			return
		}
		body, err := s.receive(w, r)
		if err != nil {
			fail(w, err)
			return
		}
		status, answer, err := act(r, body)
		if err != nil {
			fail(w, err)
			return
		}
		send(w, status, exchange.ContentType, answer)
	})
}

// receive reads the body of a request that can be served.
func (s server) receive(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	// A form, or a script without leave to ask first, cannot send this type from a foreign page.
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method == http.MethodPost && kind != exchange.ContentType {
		return nil, Refuse(http.StatusUnsupportedMediaType, "the request is not JSON", "its Content-Type is not "+exchange.ContentType, "send the header Content-Type: "+exchange.ContentType)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit):
		return nil, Refuse(http.StatusRequestEntityTooLarge, "the request is too large", fmt.Sprintf("it has more than %d bytes", mostBody), "name fewer tables in one request")
	case err != nil:
		return nil, bad("the request did not arrive whole", err.Error(), "")
	case s.operator == nil:
		return nil, Refuse(http.StatusServiceUnavailable, "the poller is starting", "", "ask again in a moment; "+exchange.RouteReady+" says what it waits for")
	}
	return body, nil
}

func (s server) backfills(r *http.Request, _ []byte) (int, any, error) {
	all, err := s.operator.Backfills(r.Context())
	return http.StatusOK, listed(all), err
}

func (s server) startBackfill(r *http.Request, body []byte) (int, any, error) {
	var ask BackfillRequest
	if err := decode(body, &ask); err != nil {
		return 0, nil, err
	}
	if err := ask.read(); err != nil {
		return 0, nil, err
	}
	all, err := s.operator.StartBackfill(r.Context(), ask)
	return http.StatusAccepted, listed(all), err
}

func (s server) changeBackfill(r *http.Request, body []byte) (int, any, error) {
	if err := decode(body, new(struct{})); err != nil {
		return 0, nil, err
	}
	name, err := table(r.PathValue("table"))
	if err != nil {
		return 0, nil, err
	}
	do := Verb(r.PathValue("do"))
	if do != Pause && do != Resume && do != Cancel {
		return 0, nil, Refuse(http.StatusNotFound, fmt.Sprintf("%q cannot be done to a backfill", do), "", "use pause, resume or cancel")
	}
	b, err := s.operator.ChangeBackfill(r.Context(), name, do)
	return http.StatusOK, b, err
}

func (s server) startVerification(r *http.Request, body []byte) (int, any, error) {
	var ask VerifyRequest
	if err := decode(body, &ask); err != nil {
		return 0, nil, err
	}
	if err := ask.read(); err != nil {
		return 0, nil, err
	}
	v, err := s.operator.StartVerification(r.Context(), ask)
	return http.StatusCreated, v, err
}

func (s server) verification(r *http.Request, _ []byte) (int, any, error) {
	v, err := s.operator.Verification(r.Context(), r.PathValue("id"))
	return http.StatusOK, v, err
}

func (s server) cancelVerification(r *http.Request, _ []byte) (int, any, error) {
	v, err := s.operator.CancelVerification(r.Context(), r.PathValue("id"))
	return http.StatusOK, v, err
}

// listed is never null in JSON.
func listed(all []Backfill) []Backfill { return append([]Backfill{}, all...) }

// decode reads a JSON object into a struct. A member that the struct does not have is an error: whoever misspells "where" does not want all rows.
// No body at all is an empty object.
func decode(body []byte, into any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(body, &given); err != nil {
		return bad("the request is not a JSON object", err.Error(), "")
	}
	known := members(into)
	var strange []string
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(known, name) {
			strange = append(strange, fmt.Sprintf("%q", name))
		}
	}
	if len(strange) > 0 {
		fix := "leave it out"
		if len(known) > 0 {
			fix = "the members are " + strings.Join(known, ", ")
		}
		return bad("the request has members that mean nothing here", strings.Join(strange, ", "), fix)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return bad("the request cannot be read", err.Error(), "")
	}
	return nil
}

// members are the names that a struct has in JSON.
func members(of any) (names []string) {
	for _, field := range reflect.VisibleFields(reflect.TypeOf(of).Elem()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

func fail(w http.ResponseWriter, err error) {
	d := details(err)
	send(w, d.Status, problem.ContentType, d)
}

// details is an error over HTTP. What is no refusal is trouble of the poller's own.
func details(err error) problem.Details {
	var refusal *Refusal
	var trouble *problem.Error
	switch {
	case errors.As(err, &refusal):
		return refusal.Cause.Details(refusal.Status, "")
	case errors.As(err, &trouble):
		return trouble.Details(http.StatusInternalServerError, "")
	}
	return problem.Details{Title: "the poller could not do it", Status: http.StatusInternalServerError, Detail: err.Error()}
}

func send(w http.ResponseWriter, status int, contentType string, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, contentType, text = http.StatusInternalServerError, problem.ContentType, []byte(`{"title":"the answer cannot be written as JSON","status":500}`)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // a client that hung up
}
