package main_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"freshet/local/redistest"
)

// binary is the program as it is released.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "fn")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "fn")
	out, err := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// process is the program running with nothing in its environment but these settings.
type process struct {
	*testing.T
	cmd    *exec.Cmd
	stderr *bufio.Scanner
}

func start(t *testing.T, environ ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{T: t, cmd: exec.Command(path)}
	p.cmd.Env = environ
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stderr = bufio.NewScanner(stderr)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	return p
}

// says reads the output up to a line with these words.
func (p *process) says(words string) string {
	p.Helper()
	for p.stderr.Scan() {
		if strings.Contains(p.stderr.Text(), words) {
			return p.stderr.Text()
		}
	}
	p.Fatalf("it never said %q", words)
	return ""
}

// port is where the program listens.
func (p *process) port() string {
	_, port, _ := strings.Cut(p.says("listening"), "addr=")
	return strings.TrimPrefix(port, "[::]:")
}

// ends wants this exit code and answers what was said until then.
func (p *process) ends(code int) string {
	p.Helper()
	var said strings.Builder
	for p.stderr.Scan() {
		fmt.Fprintln(&said, p.stderr.Text())
	}
	p.cmd.Wait()
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.Errorf("exit code %d, want %d; it said:\n%s", got, code, &said)
	}
	return said.String()
}

func TestWrongSettings(t *testing.T) {
	said := start(t, "FN_KEY=x", "FN_VALUE=price", "FN_TIMEOUT=0s", "REDIS_URL=redis://u:hunter2@host:port/x", "FN_LOG_FORMAT=xml").ends(2)
	for _, want := range []string{"fn: FN_KEY is", "fn: FN_VALUE is", "fn: FN_TIMEOUT is", "fn: REDIS_URL cannot", "LOG_FORMAT"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	if strings.Contains(said, "hunter2") || strings.Contains(said, "goroutine") {
		t.Errorf("a password or a stack:\n%s", said)
	}
	if said := start(t, "REDIS_URL=redis://x", "FN_KEYS=x", "FN_MAX_BODY=lots").ends(2); !strings.Contains(said, "did you mean FN_KEY?") || !strings.Contains(said, "FN_MAX_BODY") {
		t.Error(said)
	}
	if said := start(t).ends(2); !strings.Contains(said, "no Redis is given") {
		t.Error(said)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	said := start(t, "REDIS_URL=redis://127.0.0.1:1", fmt.Sprint("PORT=", l.Addr().(*net.TCPAddr).Port)).ends(1)
	if !strings.Contains(said, "cannot listen on port") {
		t.Error(said)
	}
}

// A request that is running when the order to stop comes is answered; then the program ends with 0.
func TestStopsGracefully(t *testing.T) {
	r := redistest.New(t, "--loglevel", "warning")
	p := start(t, "REDIS_URL="+r.URL, "PORT=0")
	base := "http://127.0.0.1:" + p.port()
	r.Do("CLIENT", "PAUSE", "400", "ALL")
	answers := make(chan string)
	go func() {
		response, err := http.Post(base+"/v1/batches", "application/json", strings.NewReader(`{"messages":[{"action":"insert","record":{"id":1},"metadata":{"table_name":"t","primary_key":["id"]}}]}`))
		if err != nil {
			answers <- err.Error()
			return
		}
		defer response.Body.Close()
		answers <- response.Status
	}()
	waitForRequest(t, base)
	p.cmd.Process.Signal(syscall.SIGTERM)
	if got := <-answers; got != "200 OK" {
		t.Errorf("the running request got %s", got)
	}
	p.ends(0)
	if got, _ := r.Get("sequin:t:1"); got != `{"id":1}` {
		t.Errorf("got %q", got)
	}
}

// waitForRequest returns once the batch has been read, as the metrics show.
func waitForRequest(t *testing.T, base string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		response, err := http.Get(base + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if !bytes.Contains(text, []byte("\nfreshet_fn_batch_bytes_total 0\n")) {
			return
		}
	}
	t.Fatal("the request never came")
}

func TestSecondSignalKills(t *testing.T) {
	r := redistest.New(t, "--loglevel", "warning")
	p := start(t, "REDIS_URL="+r.URL, "PORT=0")
	base := "http://127.0.0.1:" + p.port()
	r.Do("CLIENT", "PAUSE", "3000", "ALL")
	go http.Post(base+"/", "application/json", strings.NewReader(`{"messages":[{"action":"insert","record":{"id":1},"metadata":{"table_name":"t","primary_key":["id"]}}]}`))
	waitForRequest(t, base)
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.says("stopping")
	began := time.Now()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for p.stderr.Scan() {
		}
		p.cmd.Wait()
	}()
	for again := time.NewTicker(20 * time.Millisecond); ; { // one that comes at the first's heels may still count as the first
		select {
		case <-again.C:
			p.cmd.Process.Signal(syscall.SIGTERM)
			continue
		case <-ended:
		}
		again.Stop()
		break
	}
	if took := time.Since(began); p.cmd.ProcessState.Success() || took > 2*time.Second {
		t.Errorf("%v after %s", p.cmd.ProcessState, took)
	}
}

// runtime is what AWS runs beside a Lambda function: it hands out events and takes the answers.
type runtime struct {
	events  chan events.LambdaFunctionURLRequest
	answers chan events.LambdaFunctionURLResponse
}

func (r *runtime) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	const invocation = "/2018-06-01/runtime/invocation/"
	switch path := request.URL.Path; {
	case path == invocation+"next":
		select {
		case event := <-r.events:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "r-1")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
			json.NewEncoder(w).Encode(event)
		case <-request.Context().Done():
		}
	case path == invocation+"r-1/response":
		var answer events.LambdaFunctionURLResponse
		json.NewDecoder(request.Body).Decode(&answer)
		w.WriteHeader(http.StatusAccepted)
		r.answers <- answer
	default:
		http.NotFound(w, request)
	}
}

func TestLambda(t *testing.T) {
	r := redistest.New(t)
	api := &runtime{make(chan events.LambdaFunctionURLRequest), make(chan events.LambdaFunctionURLResponse)}
	server := httptest.NewServer(api)
	start(t, "REDIS_URL="+r.URL, "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(server.URL, "http://"))
	t.Cleanup(server.CloseClientConnections)
	invoke := func(event events.LambdaFunctionURLRequest, method string) events.LambdaFunctionURLResponse {
		event.RequestContext.HTTP.Method = method
		api.events <- event
		return <-api.answers
	}
	const body = `{"messages":[{"action":"insert","record":{"id":1,"name":"☕"},"metadata":{"table_name":"t","primary_key":["id"]}}]}`
	for _, event := range []events.LambdaFunctionURLRequest{
		{RawPath: "/v1/batches", Body: body},
		{RawPath: "/", Body: base64.StdEncoding.EncodeToString([]byte(body)), IsBase64Encoded: true},
	} {
		answer := invoke(event, "POST")
		if answer.StatusCode != 200 || !strings.Contains(answer.Body, `"written":1`) || answer.Headers["Content-Type"] != "application/json" {
			t.Errorf("got %+v", answer)
		}
		if got, _ := r.Get("sequin:t:1"); got != `{"id":1,"name":"☕"}` {
			t.Errorf("got %q", got)
		}
		r.Do("DEL", "sequin:t:1")
	}
	dry := invoke(events.LambdaFunctionURLRequest{RawPath: "/", RawQueryString: "dry_run=1", Body: body}, "POST")
	if dry.StatusCode != 200 || !strings.Contains(dry.Body, "SET") {
		t.Errorf("got %+v", dry)
	}
	if _, there := r.Get("sequin:t:1"); there {
		t.Error("the query was lost: the dry run wrote")
	}
	if answer := invoke(events.LambdaFunctionURLRequest{RawPath: "/v1/nothing"}, "GET"); answer.StatusCode != 404 || answer.Headers["Content-Type"] != "application/problem+json" {
		t.Errorf("got %+v", answer)
	}
}
