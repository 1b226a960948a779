//go:build profile

package main

import "freshet/local/bench/profile"

func init() { profile.Record() }
