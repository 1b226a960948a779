//go:build profile

package main

import "freshet/shared/profile"

func init() { profile.Record() }
