package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kovra.dev/chatops/internal/config"
	"kovra.dev/chatops/internal/kovra"
	"kovra.dev/chatops/storage"
)

// outcomes are the words of --outcome.
var outcomes = map[string]kovra.DeliveryOutcome{
	"pending": kovra.DeliveryPending,
	"folded":  kovra.DeliveryFolded,
	"same":    kovra.DeliverySame,
	"ignored": kovra.DeliveryIgnored,
	"dead":    kovra.DeliveryDead,
}

func deliveries(file *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "Look after GitLab's webhooks: list, show, replay",
		Long: "Look after the webhooks that GitLab delivered. All of it works beside a running server.\n\n" +
			"A delivery that could not be used is kept as a dead letter; after the cause is gone it can be replayed.",
	}
	cmd.AddCommand(deliveriesList(file), deliveriesShow(file), deliveriesReplay(file))
	return cmd
}

// database is the path of the configured server's database, which must be there.
func database(file string) (string, error) {
	path, err := config.DatabasePath(os.Environ(), file)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("there is no database yet: %w (set KOVRA_DATABASE_URL as for the server)", err)
	}
	return path, nil
}

// open opens the database of the configured server, which may run.
func open(ctx context.Context, file string) (*storage.DB, error) {
	path, err := database(file)
	if err != nil {
		return nil, err
	}
	return storage.Open(ctx, storage.Options{Path: path, Beside: true})
}

func deliveriesList(file *string) *cobra.Command {
	var outcome string
	var limit int
	var before int64
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List deliveries, newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := storage.DeliveryQuery{Before: before, Limit: limit}
			if outcome != "" {
				o, ok := outcomes[outcome]
				if !ok {
					return fmt.Errorf("--outcome: %q is not one of pending, folded, same, ignored, dead", outcome)
				}
				q.Outcome = &o
			}
			db, err := open(cmd.Context(), *file)
			if err != nil {
				return err
			}
			defer db.Close() //nolint:errcheck // it was only read
			return db.Read(cmd.Context(), func(tx *storage.Tx) error {
				found, err := tx.Deliveries(q)
				if err != nil {
					return err
				}
				return printDeliveries(cmd.OutOrStdout(), found)
			})
		},
	}
	cmd.Flags().StringVar(&outcome, "outcome", "", "only those with this `outcome`: pending, folded, same, ignored or dead")
	cmd.Flags().IntVar(&limit, "limit", 20, "at most this many")
	cmd.Flags().Int64Var(&before, "before", 0, "only those before this `id`, for the next page")
	return cmd
}

// printDeliveries writes a table. The tabwriter keeps the first error for Flush.
func printDeliveries(out io.Writer, found []kovra.Delivery) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tRECEIVED\tKIND\tPROJECT\tOUTCOME\tNOTE")
	for _, d := range found {
		_, _ = fmt.Fprintf(w, "%d\t%s\t%q\t%d\t%s\t%s\n", d.ID, d.At.UTC().Format(time.RFC3339), d.Kind, d.Project, outcomeWord(d.Outcome), d.Note)
	}
	return w.Flush()
}

func outcomeWord(o kovra.DeliveryOutcome) string {
	if o == kovra.DeliveryPending {
		return "pending"
	}
	return string(o)
}

func deliveriesShow(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show one delivery with its body",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return fmt.Errorf("%q is not the id of a delivery", args[0])
			}
			db, err := open(cmd.Context(), *file)
			if err != nil {
				return err
			}
			defer db.Close() //nolint:errcheck // it was only read
			return db.Read(cmd.Context(), func(tx *storage.Tx) error {
				d, err := tx.Delivery(id)
				if err != nil {
					return err
				}
				return printDelivery(cmd.OutOrStdout(), d)
			})
		},
	}
}

func printDelivery(out io.Writer, d kovra.Delivery) error {
	_, _ = fmt.Fprintf(out, "id:       %d\nkey:      %s\nkind:     %q\nreceived: %s\nproject:  %d\noutcome:  %s\n",
		d.ID, d.Key, d.Kind, d.At.UTC().Format(time.RFC3339), d.Project, outcomeWord(d.Outcome))
	if d.Note != "" {
		_, _ = fmt.Fprintf(out, "note:     %s\n", d.Note)
	}
	var pretty any
	if json.Unmarshal(d.Body, &pretty) == nil {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(pretty)
	}
	_, err := fmt.Fprintf(out, "%q\n", d.Body)
	return err
}

func deliveriesReplay(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "replay ID...",
		Short: "Have deliveries looked at again",
		Long:  "Mark deliveries as not looked at. The running server takes them again within a second or two; without one, the next start does.",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var ids []int64
			for _, a := range args {
				id, err := strconv.ParseInt(a, 10, 64)
				if err != nil {
					return fmt.Errorf("%q is not the id of a delivery", a)
				}
				ids = append(ids, id)
			}
			db, err := open(cmd.Context(), *file)
			if err != nil {
				return err
			}
			err = db.Update(cmd.Context(), func(tx *storage.Tx) error {
				for _, id := range ids {
					if err := tx.ReplayDelivery(id); err != nil {
						return err
					}
				}
				return nil
			})
			if err == nil {
				_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%d marked; the server takes them within a second or two\n", len(ids))
			}
			return closing(db, err)
		},
	}
}

// closing closes the database and keeps the first error.
func closing(db *storage.DB, err error) error {
	if closed := db.Close(); err == nil {
		return closed
	}
	return err
}
