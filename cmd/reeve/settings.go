package main

import "fmt"

// settings is the command reeve settings: it prints what the program can be told.
type settings struct{}

func (settings) Run(c *configuration) error {
	_, err := fmt.Print(c.Reference())
	return err
}
