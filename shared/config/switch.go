package config

import "fmt"

// Switch is a setting that is on or off; true, false, 1, 0, yes and no are understood too.
type Switch bool

// Decode reads the word.
func (s *Switch) Decode(text string) error {
	switch text {
	case "on", "true", "1", "yes":
		*s = true
	case "off", "false", "0", "no":
		*s = false
	default:
		return fmt.Errorf("%q is neither on nor off", text)
	}
	return nil
}
