package sink

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"freshet/shared/exchange"
)

// lettersAtOnce keeps an answer well below what is read of one.
const lettersAtOnce = 100

// DeadLetters asks for all letters of a sink, without their messages.
func (c *Client) DeadLetters(ctx context.Context, sink string) (all []exchange.DeadLetter, a Answer) {
	for after := ""; ; after = all[len(all)-1].ID {
		var some exchange.DeadLetters
		if some, a = c.letters(ctx, url.Values{"sink": {sink}, "after": {after}, "count": {strconv.Itoa(lettersAtOnce)}}); a.Outcome != exchange.Settled {
			return nil, a
		}
		if all = append(all, some.Letters...); len(some.Letters) < lettersAtOnce {
			return all, a
		}
	}
}

// DeadLetter asks for one letter with its message; ok is false when there is no such letter.
func (c *Client) DeadLetter(ctx context.Context, sink, id string) (l exchange.DeadLetter, ok bool, a Answer) {
	found, a := c.letters(ctx, url.Values{"sink": {sink}, "id": {id}})
	if a.Outcome != exchange.Settled || len(found.Letters) != 1 {
		return l, false, a
	}
	return found.Letters[0], true, a
}

func (c *Client) letters(ctx context.Context, query url.Values) (found exchange.DeadLetters, a Answer) {
	a = c.do(ctx, http.MethodGet, c.base+exchange.RouteDeadLetters+"?"+query.Encode(), nil, http.Header{})
	return found, c.decode(a, &found)
}

// SettleDeadLetters has letters written after all, or dropped.
func (c *Client) SettleDeadLetters(ctx context.Context, ask exchange.DeadLettersRequest) (done exchange.DeadLettersResponse, a Answer) {
	body, err := json.Marshal(ask)
	if err != nil {
		return done, held("cannot encode the request", err.Error(), "")
	}
	a = c.do(ctx, http.MethodPost, c.base+exchange.RouteDeadLetters, Body{body}, http.Header{})
	return done, c.decode(a, &done)
}
