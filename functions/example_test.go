package functions_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/tidwall/gjson"

	"freshet/functions"
	"freshet/shared/change"
	"freshet/shared/config"
)

// A main of one's own: values are made by code, everything else is as FN_* and REDIS_URL say. Instead of the requests below it would end with
//
//	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//	defer stop()
//	return f.Run(ctx)
func ExampleNew() {
	os.Setenv("REDIS_URL", "redis://localhost:6379/0")
	defer os.Unsetenv("REDIS_URL")
	var c functions.Config
	if err := config.Load("FN", &c); err != nil {
		fmt.Println(err)
		return
	}
	f, err := functions.New(c, functions.WithVersion("1"), functions.WithTransform(
		func(_ context.Context, m change.Message) (value string, keep bool, err error) {
			found := gjson.GetMany(m.Record, "name", "price", "hidden")
			return fmt.Sprintf("%s for %s", found[0], found[1].Raw), !found[2].Bool(), nil
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()

	s := httptest.NewServer(f)
	defer s.Close()
	const batch = `{"messages": [
		{"action": "insert", "record": {"id": 1, "name": "Mug", "price": 9.90}, "metadata": {"table_name": "products", "primary_key": ["id"]}},
		{"action": "update", "record": {"id": 2, "name": "Jug", "price": 12, "hidden": true}, "metadata": {"table_name": "products", "primary_key": ["id"]}}]}`
	answer, err := http.Post(s.URL+"/v1/batches?dry_run=1", "application/json", strings.NewReader(batch))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(gjson.GetBytes(text, "commands").Raw)
	// Output: [{"command":"SET","key":"sequin:products:1","value":"Mug for 9.90"},{"command":"DEL","key":"sequin:products:2"}]
}
