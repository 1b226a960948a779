package bench

import (
	"fmt"
	"time"
)

// What was not measured is shown as "-".

func seconds(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1000) }

func mebibytes(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func megabytes(n int64) string {
	if n%1e6 == 0 {
		return fmt.Sprintf("%d MB", n/1e6)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}

func whole(n int) string {
	if n == 0 {
		return "-"
	}
	return thousands(n)
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

func quotient(n, by int) string {
	if by == 0 {
		return "-"
	}
	return whole(n / by)
}

func plural(n int, what string) string {
	ending := "s"
	if what == "batch" {
		ending = "es"
	}
	if n == 1 {
		ending = ""
	}
	return thousands(n) + " " + what + ending
}
