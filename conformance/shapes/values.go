package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// field is a field of a type: apps.v1.DeploymentSpec, replicas.
type field struct{ of, name string }

// values are the rules about single values that the OpenAPI document of a release leaves out.
type values struct {
	enums    map[field][]string
	defaults map[field]string // as JSON
}

// readValues reads them off the generated Go code that a server makes its document from.
func readValues(file string) (values, error) {
	found := values{map[field][]string{}, map[field]string{}}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return found, err
	}
	for _, declaration := range parsed.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok || !strings.HasPrefix(function.Name.Name, "schema_") {
			continue
		}
		parts := strings.Split(function.Name.Name, "_")
		of := strings.Join(parts[max(0, len(parts)-3):], ".")
		ast.Inspect(function, func(node ast.Node) bool {
			pair, ok := node.(*ast.KeyValueExpr)
			if !ok || !isNamed(pair.Key, "Properties") {
				return true
			}
			properties, ok := pair.Value.(*ast.CompositeLit)
			if !ok {
				return true
			}
			for _, element := range properties.Elts {
				property, ok := element.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				if name, ok := text(property.Key); ok {
					found.read(field{of, name}, property.Value)
				}
			}
			return false
		})
	}
	if len(found.enums) == 0 {
		return found, fmt.Errorf("%s: no enumeration found", file)
	}
	return found, nil
}

func isNamed(key ast.Expr, name string) bool {
	identifier, ok := key.(*ast.Ident)
	return ok && identifier.Name == name
}

func text(of ast.Expr) (string, bool) {
	literal, ok := of.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	value, err := strconv.Unquote(literal.Value)
	return value, err == nil
}

func (v *values) read(at field, of ast.Expr) {
	depth := 0
	ast.Inspect(of, func(node ast.Node) bool {
		if node == nil {
			return false
		}
		pair, ok := node.(*ast.KeyValueExpr)
		switch {
		case !ok:
			return true
		case isNamed(pair.Key, "Enum"):
			if list, ok := pair.Value.(*ast.CompositeLit); ok {
				for _, element := range list.Elts {
					if value, ok := text(element); ok {
						v.enums[at] = append(v.enums[at], value)
					}
				}
				sort.Strings(v.enums[at])
				if slices.ContainsFunc(v.enums[at], func(value string) bool { return strings.ContainsAny(value, " |()") }) {
					delete(v.enums, at) // the notation has no way to write them
				}
			}
			return false
		case isNamed(pair.Key, "Items"), isNamed(pair.Key, "AdditionalProperties"):
			depth++ // the defaults below are those of items
			return true
		case isNamed(pair.Key, "Default") && depth == 0:
			if literal, ok := pair.Value.(*ast.BasicLit); ok {
				if value, ok := text(literal); ok {
					v.defaults[at] = strconv.Quote(value)
				} else if literal.Value != "0" {
					v.defaults[at] = literal.Value
				}
			} else if constant, ok := pair.Value.(*ast.SelectorExpr); ok {
				if value, ok := constants[constant.Sel.Name]; ok {
					v.defaults[at] = strconv.Quote(value)
				}
			}
			return false
		}
		return true
	})
}

// constants are those that stand for defaults in the generated code.
var constants = map[string]string{"AzureDataDiskCachingReadWrite": "ReadWrite", "AzureSharedBlobDisk": "Shared"}
